"""Low-rank adapters on a trained network (Hu 2021, 2106.09685), through peft.

Beside a frozen layer W stand two small matrices: W x + alpha / rank B A x. B starts at zero, so that
training starts at the base. Adapters are float32 like all trained weights.

Names: peft puts the layer `denoiser.P` away as `denoiser.P.base_layer` and adds
`denoiser.P.lora_A.default.weight` (rank, in) and `denoiser.P.lora_B.default.weight` (out, rank);
checkpoints and averages hold the adapters under these names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import unset_fake_temporarily

from sd_core.config.sections import Lora
from sd_core.errors import SdError
from sd_core.run.network import Network, trainable

if TYPE_CHECKING:
    from peft import LoraConfig

ADAPTER = "default"
"""What peft calls an adapter that is given no name."""
PUT_AWAY = ".base_layer"
"""What peft adds to the name of an adapted layer's own weights."""
_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d)


def adapt(network: Network, options: Lora, seed: int) -> None:
    """Freeze the denoiser and put adapters on it, in place; the conditioner stays as it was.

    Args:
        network: With the base's weights in it.
        options: `[model.lora]`.
        seed: Of torch's generator, for the adapters' first weights.

    Raises:
        SdError: peft is missing, or a name in the options fits no layer.
    """
    denoiser = network.denoiser
    ends = trained_in_full(denoiser, options)
    whole = _chosen(denoiser, ends, nn.Module, "train") if ends else {}
    kept = [parameter for module in whole.values() for parameter in module.parameters() if parameter.requires_grad]
    layers = _targets(network, options, tuple(whole))
    torch.manual_seed(seed)
    _inject(peft_config(options, layers), denoiser)
    for parameter in kept:
        parameter.requires_grad_(True)
    learned = {name for name, _ in trainable(network)}
    statistics = {name for name, _ in network.named_buffers() if not name.startswith("denoiser.")}
    network.frozen = frozenset(network.state_dict().keys() - learned - statistics)


def trained_in_full(denoiser: nn.Module, options: Lora) -> tuple[str, ...]:
    """Ends of the names of modules that get no adapter because they are trained: the user's and the network's own."""
    return (*options.train, *getattr(denoiser, "lora_train", ()))


def require_peft() -> None:
    """Refuse to go on without peft.

    Raises:
        SdError: it is not installed.
    """
    if find_spec("peft") is None:
        raise SdError('[model.lora] needs peft: pip install "sd-core[lora]"')


def peft_config(options: Lora, layers: Sequence[str]) -> LoraConfig:
    """What peft is told, for exactly these layers (names in the denoiser).

    Raises:
        SdError: peft is not installed.
    """
    require_peft()
    from peft import LoraConfig

    return LoraConfig(
        r=options.rank,
        lora_alpha=options.alpha,  # type: ignore[arg-type] # peft divides it by the rank; a fraction does as well
        lora_dropout=options.dropout,
        init_lora_weights=True if options.init == "kaiming" else "gaussian",
        target_modules="|".join(re.escape(layer) for layer in layers),  # text: a pattern for the whole name
    )


def _inject(config: LoraConfig, denoiser: nn.Module) -> None:
    """Add the adapters, float32 where their layer lies.

    peft would make them on the CPU and move them, which tensors without numbers (`sd_core.run.costs`) cannot; so they
    are asked for without memory and made here.
    """
    from peft import inject_adapter_in_model
    from peft.tuners.lora import LoraLayer

    with unset_fake_temporarily():
        inject_adapter_in_model(config, denoiser, low_cpu_mem_usage=True)
    for _, _, layer in list(_layers(denoiser, LoraLayer)):
        device = layer.get_base_layer().weight.device
        for matrix in (*layer.lora_A.values(), *layer.lora_B.values()):
            matrix.weight = nn.Parameter(torch.empty(matrix.weight.shape, device=device))
        layer.reset_lora_parameters(ADAPTER, config.init_lora_weights)


def _targets(network: Network, options: Lora, whole: tuple[str, ...]) -> list[str]:
    """Names of the layers to adapt.

    Those inside a module that is trained in full need no adapter; those that the architecture itself has
    frozen are not used, and an adapter without a gradient would stop a distributed step.
    """
    denoiser = network.denoiser
    ends = options.target_modules or tuple(getattr(denoiser, "lora_targets", ()))
    if not ends:
        raise SdError(
            "this architecture recommends no layers to adapt (lora_targets): name them in model.lora.target_modules, "
            f"such as {', '.join(_examples(denoiser, _LAYERS))}"
        )
    chosen = _chosen(denoiser, ends, _LAYERS, "target_modules")
    return [
        name
        for name, layer in chosen.items()
        if any(parameter.requires_grad for parameter in layer.parameters())
        and not any(name == outer or name.startswith(f"{outer}.") for outer in whole)
    ]


def _chosen(
    denoiser: nn.Module, ends: Sequence[str], kinds: type[Any] | tuple[type[Any], ...], key: str
) -> dict[str, nn.Module]:
    """Modules of these kinds whose name is, or ends with, one of `ends`, in order."""
    modules = {name: module for name, module in denoiser.named_modules() if name and isinstance(module, kinds)}
    for end in ends:
        if not any(_fits(name, end) for name in modules):
            raise SdError(
                f"model.lora.{key}: no module of this network is called {end!r}; there are "
                f"{', '.join(_examples(denoiser, kinds))}"
            )
    return {name: module for name, module in modules.items() if any(_fits(name, end) for end in ends)}


def _fits(name: str, end: str) -> bool:
    return name == end or name.endswith(f".{end}")


def _examples(denoiser: nn.Module, kinds: type[Any] | tuple[type[Any], ...], most: int = 12) -> list[str]:
    """Names to choose from, block numbers left out."""
    names = (name for name, module in denoiser.named_modules() if name and isinstance(module, kinds))
    short = dict.fromkeys(re.split(r"(?:^|\.)\d+\.", name)[-1] for name in names if not name[-1].isdigit())
    return [*list(short)[:most], *(["..."] if len(short) > most else [])]


def share(network: nn.Module) -> str:
    """How much of a network is trained, as a sentence."""
    learned = sum(parameter.numel() for _, parameter in trainable(network))
    total = sum(parameter.numel() for parameter in network.parameters())
    return f"LoRA: {learned:,} of {total:,} weights are trained ({learned / total:.2%}); the others stay as they are"


def merge(network: Network) -> None:
    """Add the adapters to the weights they stand beside and take them away, in place: a plain network again."""
    from peft.tuners.lora import LoraLayer

    with torch.no_grad():
        for parent, name, layer in list(_layers(network.denoiser, LoraLayer)):
            layer.merge()
            setattr(parent, name, layer.get_base_layer())
    network.frozen = frozenset()


def _layers(module: nn.Module, kind: type[Any]) -> Iterator[tuple[nn.Module, str, Any]]:
    for parent in module.modules():
        for name, child in parent.named_children():
            if isinstance(child, kind):
                yield parent, name, child
