"""The worse version of a model that autoguidance leads away from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path

import torch

from sd_core.config.read import Run, read_resolved
from sd_core.errors import SdError
from sd_core.registry import Registry
from sd_core.run.assemble import Assembly
from sd_core.run.captions import CAPTION, template_of
from sd_core.run.checkpoint import checkpoints, newest, step_of, verified
from sd_core.run.loading import load_assembly
from sd_core.run.stored import RUN, TaskCard, read_card

KEY = "inference.guidance_checkpoint"


def load_earlier(run: Run, checkpoint: Path, assembly: Assembly, card: TaskCard, registry: Registry) -> Assembly | None:
    """The reference of "autoguidance", from its first average; None where the config asks for no guidance by it.

    Any network that sees the same thing will do: an earlier checkpoint of the run, or a smaller model.

    Args:
        run: The config of the model to guide.
        checkpoint: That model's.
        assembly: That model's.
        card: That model's.
        registry: The installed plugins.

    Raises:
        SdError: it is not there, is the model itself, or was trained for another view of the data.
    """
    inference = run.config.inference
    if inference.guidance_checkpoint is None or inference.cfg_scale == 1:
        return None
    folder = _find(inference.guidance_checkpoint, checkpoint)
    other = read_resolved(folder / RUN, registry=registry)
    if folder.resolve() == checkpoint.resolve():
        raise SdError(f"{KEY} is {folder}, the model itself: name an earlier checkpoint, or a smaller model")
    other_card = read_card(folder)
    reference = load_assembly(other, folder, other_card, registry)
    difference = _difference(assembly, reference) or next(
        chain(_other_labels(assembly, reference, card, other_card), _other_captions(run, other, reference)), None
    )
    if difference is not None:
        raise SdError(f"{KEY}: {folder} cannot guide {checkpoint}: {difference}")
    # Equal parts are needed once: a second VAE would only fill the device.
    return replace(reference, codec=assembly.codec, representation=assembly.representation)


def _find(wanted: int | str, checkpoint: Path) -> Path:
    if isinstance(wanted, str):
        return newest(Path(wanted))
    folder = checkpoint.parent / f"checkpoint-{wanted}"
    if not folder.is_dir():
        steps = ", ".join(str(step_of(path)) for path in checkpoints(checkpoint.parent)) or "none"
        raise SdError(
            f"{KEY} = {wanted}: there is no {folder}; steps there: {steps} (training.checkpoint_total_limit says how "
            "many are kept)"
        )
    return verified(folder)


def _difference(model: Assembly, reference: Assembly) -> str | None:
    """Why two models do not see the same thing, as a clause."""
    if model.task.shape != reference.task.shape:
        return f"it sees {reference.task.shape}, the model {model.task.shape}"
    ours, theirs = (part.representation.state_dict() for part in (model, reference))
    if type(model.representation) is not type(reference.representation) or ours.keys() != theirs.keys():
        return "it was trained on another representation"
    if not all(torch.equal(ours[name], theirs[name]) for name in ours):
        return "its representation has other statistics (it was trained on other windows)"
    if type(model.codec) is not type(reference.codec):
        return "it has another codec"
    if getattr(model.codec, "fingerprint", None) != getattr(reference.codec, "fingerprint", None):
        return "it was trained in another latent space"
    return None


def _other_labels(model: Assembly, reference: Assembly, card: TaskCard, other: TaskCard) -> Iterator[str]:
    told = reference.network.conditioner.roles
    yield from (
        f"it is told '{role}', which the model is not" for role in sorted(told - model.network.conditioner.roles)
    )
    for role in sorted(told):
        if _values(card, role) != _values(other, role):
            yield f"its labels of '{role}' are not the model's"


def _other_captions(run: Run, other: Run, reference: Assembly) -> Iterator[str]:
    """One wording guides no other: both are shown the same sentences."""
    if CAPTION in reference.network.conditioner.roles:
        ours, theirs = _wording(run), _wording(other)
        if ours != theirs:
            yield f"its captions are {theirs}, the model's are {ours}"


def _wording(run: Run) -> str:
    template = template_of(run)
    column = f"the column {run.config.dataset.caption_column!r}"
    return column if template is None else f"made by the template {template.text!r}"


def _values(card: TaskCard, role: str) -> object:
    labels = card.labels
    return labels.categories.get(role), labels.numbers.get(role), role in labels.texts
