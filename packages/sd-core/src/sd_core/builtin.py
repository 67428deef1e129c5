"""Offers of core itself, through the same hooks as a stranger's."""

from sd_core.components import Component
from sd_core.hookspecs import hookimpl


@hookimpl
def sd_objectives() -> list[Component]:
    """What is learned."""
    return [
        Component(
            name="flow",
            summary="Flow matching on straight paths, loss on the velocity",
            factory="sd_core.diffusion.flow:Flow",
            options="sd_core.diffusion.options:FlowOptions",
        )
    ]


@hookimpl
def sd_samplers() -> list[Component]:
    """Integrators."""
    offers = {
        "euler": ("First order, one evaluation per step", "samplers:Euler"),
        "heun": ("Second order, two evaluations per step: for reports", "samplers:Heun"),
        "dpm++": ("DPM-Solver++(2M), one evaluation per step: for previews", "multistep:DPMSolverPlusPlus"),
        "unipc": ("UniPC of order 2, one evaluation per step: for previews", "multistep:UniPC"),
    }
    return [
        Component(
            name=name,
            summary=summary,
            factory=f"sd_core.diffusion.{factory}",
            options="sd_core.options:SamplerOptions",
        )
        for name, (summary, factory) in offers.items()
    ]


@hookimpl
def sd_conditioners() -> list[Component]:
    """Labels to conditioning."""
    return [
        Component(
            name="none",
            summary="No condition",
            factory="sd_core.diffusion.conditioning:Unconditional",
        ),
        Component(
            name="classes",
            summary="A learned vector per class",
            factory="sd_core.diffusion.conditioning:Classes",
            options="sd_core.diffusion.options:ClassesOptions",
        ),
        Component(
            name="attributes",
            summary="Gender, health and age, each of which may be missing",
            factory="sd_core.diffusion.conditioning:Attributes",
            options="sd_core.diffusion.options:AttributesOptions",
        ),
        Component(
            name="caption",
            summary="A sentence, from a text column or a template over labels",
            factory="sd_core.diffusion.captions:Caption",
            options="sd_core.diffusion.options:CaptionOptions",
        ),
    ]


@hookimpl
def sd_codecs() -> list[Component]:
    """Latent spaces."""
    return [
        Component(name="none", summary="No latent space", factory="sd_core.codecs.identity:Identity"),
        Component(
            name="vae",
            summary="Latents of a pretrained VAE of pictures, frozen",
            factory="sd_core.codecs.vae:Vae",
            options="sd_core.codecs.options:VaeOptions",
        ),
    ]


@hookimpl
def sd_trackers() -> list[Component]:
    """Loggers."""
    return [
        Component(
            name="tensorboard",
            summary="Curves and pictures as TensorBoard events",
            factory="sd_core.run.trackers:TensorBoard",
        ),
        Component(
            name="wandb",
            summary="Curves and pictures at Weights & Biases",
            factory="sd_core.run.trackers:WandB",
            options="sd_core.run.tracker_options:WandBOptions",
            requires=("wandb",),
            extra="wandb",
        ),
    ]


@hookimpl
def sd_exporters() -> list[Component]:
    """File formats."""
    return [
        Component(
            name="npz", summary="One NumPy archive, in the unit of the training data", factory="sd_core.exporters:Npz"
        ),
        Component(
            name="dataset",
            summary="A window dataset, ready to train or evaluate on",
            factory="sd_core.exporters:WindowDataset",
        ),
    ]
