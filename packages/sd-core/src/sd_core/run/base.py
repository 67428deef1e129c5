"""The trained network that adapters stand on: found, loaded, and recognised by its content.

A checkpoint of a LoRA run holds what was trained and, in `base.json`, where the rest comes from and its
hash. Whoever loads it needs the same base; another one is refused, wherever it lies.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from sd_core.config.compare import told_apart
from sd_core.config.read import Run, read_resolved
from sd_core.errors import SdError
from sd_core.registry import Registry
from sd_core.run.assemble import Assembly
from sd_core.run.checkpoint import newest
from sd_core.run.lora import PUT_AWAY, adapt, require_peft, trained_in_full
from sd_core.run.network import Network
from sd_core.run.origin import OriginCard, read_base
from sd_core.run.pretrained import loads_itself, refuse_misfit
from sd_core.run.randomness import torch_seed
from sd_core.run.state import MODEL, average_file
from sd_core.run.stored import RUN, kept_averages

_SEED_STEP = 2**40
"""Stands for "before the first step" where the adapters' first weights are seeded."""
_log = logging.getLogger(__name__)


def lay_base(run: Run, assembly: Assembly, registry: Registry, checkpoint: Path | None = None) -> OriginCard | None:
    """Load the base and put adapters on it, where the config has `[model.lora]`; what it returns says which base.

    Args:
        run: The config.
        assembly: Newly assembled; its network is changed.
        registry: The plugins, to read the base's config.
        checkpoint: Of this LoRA run, when its adapters are loaded next: the base must be the one they were trained on.

    Raises:
        SdError: the base is not there, does not fit, or is another one than that of `checkpoint`.
    """
    model = run.config.model
    if model.lora is None:
        return None
    before = None if checkpoint is None else read_base(checkpoint)
    place = _place(run, before)
    found = None if place is None else newest(place)
    average = None if found is None else _load(run, registry, assembly.network, found)
    adapt(assembly.network, model.lora, torch_seed(run.config.training.seed, _SEED_STEP))
    frozen = assembly.network.base_state()
    card = OriginCard(
        source=model.lora.base or str(model.pretrained),
        revision=model.revision,
        folder=None if found is None else str(found.resolve()),
        checkpoint=None if found is None else found.name,
        average=average,
        sha256=content_hash(frozen),
        tensors=len(frozen),
        bytes=sum(tensor.nbytes for tensor in frozen.values()),
    )
    if before is not None and before.sha256 != card.sha256:
        raise SdError(
            f"{_key(run)} = {card.source!r} holds other weights than those that {checkpoint} was trained on "
            f"(sha256 {card.sha256[:12]} here, {before.sha256[:12]} there): bring the base back, or name where it is "
            f"with --set {_key(run)}=FOLDER"
        )
    return card


def _key(run: Run) -> str:
    lora = run.config.model.lora
    return "model.lora.base" if lora is not None and lora.base is not None else "model.pretrained"


def check_base(run: Run, checkpoint: Path | None) -> None:
    """Refuse a LoRA run that could not begin, before any data is read.

    Raises:
        SdError: peft is missing, or the base is not there.
    """
    if run.config.model.lora is not None:
        require_peft()
        _place(run, None if checkpoint is None else read_base(checkpoint))


def _place(run: Run, before: OriginCard | None) -> Path | None:
    """The base's run or checkpoint folder; None where the architecture loads its own.

    A run directory stands for the checkpoint that was its newest when the adapters were begun.
    """
    model = run.config.model
    assert model.lora is not None
    if model.lora.base is None and loads_itself(run):
        return None
    if model.lora.base is not None and model.pretrained is not None and not loads_itself(run):
        raise SdError("model.pretrained and model.lora.base both name a base; keep one of the two")
    source = Path(model.lora.base or str(model.pretrained))
    if before is not None:
        for place in (source / str(before.checkpoint), source, Path(str(before.folder))):
            if place.name == before.checkpoint and place.is_dir():
                return place
    if not source.is_dir():
        raise SdError(
            f"{_key(run)} = {str(source)!r} is not a folder here: adapters need the run or checkpoint that they were "
            f"trained on; name where it is with --set {_key(run)}=FOLDER"
        )
    return source


def _load(run: Run, registry: Registry, network: Network, checkpoint: Path) -> str | None:
    """Fill the network with the base's weights, averaged where it kept averages; returns the average's name.

    What a training continues is the raw weights, but what stays as it is should be what one would sample from.
    """
    where = f"{_key(run)}: {checkpoint}"
    base = read_resolved(checkpoint / RUN, registry=registry)
    if base.config.model.lora is not None:
        raise SdError(f"{where} holds adapters itself; name the base of that run, or train it in full")
    theirs, ours = (_bare(some.config.model.name) for some in (base, run))
    if theirs != ours:
        raise SdError(
            f"{where} is a '{theirs}' and this run a '{ours}': adapters need a base that is the same network; name "
            f"a run of '{ours}', or set model.name to '{theirs}'"
        )
    for difference in told_apart(base, run):
        _log.warning("the base differs from this run: %s", difference)
    weights = load_file(checkpoint / MODEL)
    averages = kept_averages(base)
    if averages:
        weights.update(load_file(checkpoint / average_file(averages[0])))
    assert run.config.model.lora is not None
    take(network, weights, trained_in_full(network.denoiser, run.config.model.lora), where)
    return averages[0] if averages else None


def _bare(name: str) -> str:
    """A component's name without its plugin's, which may stand in front."""
    return name.rpartition(":")[2]


def take(network: Network, weights: Mapping[str, Tensor], train: tuple[str, ...], where: str) -> None:
    """Take what is to be frozen, all of it, and of what is trained whatever fits.

    The conditioner and the modules in `train` may be new to the base: they start from their own initial weights.

    Raises:
        SdError: something that would be frozen is not in the base, or the base has more than this network.
    """
    own = network.state_dict()
    pattern = tuple(f".{end}." for end in train)

    def is_frozen(name: str) -> bool:
        return name.startswith("denoiser.") and not any(part in name for part in pattern)

    needed = {name: tensor for name, tensor in own.items() if is_frozen(name)}
    there = {name: tensor for name, tensor in weights.items() if is_frozen(name)}
    refuse_misfit(needed, there, where, remedy="modules that the base lacks can be named in model.lora.train")
    fitting = {name: tensor for name, tensor in weights.items() if name in own and own[name].shape == tensor.shape}
    network.load_state_dict(fitting, strict=False)


def content_hash(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, types, shapes and bytes, whatever the order; layers under their name in the plain network."""
    with ThreadPoolExecutor() as pool:  # hashlib lets go of the interpreter: 10 GB take seconds
        digests = dict(zip(map(_plain, tensors), pool.map(_digest, tensors.values()), strict=True))
    lines = "".join(f"{name} {digest}\n" for name, digest in sorted(digests.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def _plain(name: str) -> str:
    return name.replace(f"{PUT_AWAY}.", ".")


def _digest(tensor: Tensor) -> str:
    values = tensor.detach().cpu().contiguous()
    told = hashlib.sha256(f"{values.dtype} {tuple(values.shape)}\n".encode())
    told.update(values.reshape(-1).view(torch.uint8).numpy().data)
    return told.hexdigest()
