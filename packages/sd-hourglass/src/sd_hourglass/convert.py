"""Weights published in the format of k-diffusion's `image_transformer_v2`, as an hourglass network of ours."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sd_core.nn.rope import head_frequencies
from sd_core.plugin import SdError
from sd_hourglass.options import Attention, HourglassOptions

State = Mapping[str, Tensor]

_RENAMED = (
    (r"mapping\.(in|out)_norm\.scale", r"condition.mapping.gain_\1"),
    (r"mapping\.blocks\.(\d+)\.norm\.scale", r"condition.mapping.gains.\1"),
    (r"mapping\.blocks\.(\d+)\.up_proj\.weight", r"condition.mapping.layers.\1.gate_up.weight"),
    (r"mapping\.blocks\.(\d+)\.down_proj\.weight", r"condition.mapping.layers.\1.down.weight"),
    (r"(.*)\.self_attn\.norm\.linear\.weight", r"\1.attention_norm.gain.weight"),
    (r"(.*)\.self_attn\.qkv_proj\.weight", r"\1.attention.qkv.weight"),
    (r"(.*)\.self_attn\.scale", r"\1.attention.scale"),
    (r"(.*)\.self_attn\.out_proj\.weight", r"\1.attention.out.weight"),
    (r"(.*)\.ff\.norm\.linear\.weight", r"\1.feedforward_norm.gain.weight"),
    (r"(.*)\.ff\.up_proj\.weight", r"\1.feedforward.gate_up.weight"),
    (r"(.*)\.ff\.down_proj\.weight", r"\1.feedforward.down.weight"),
    (r"(merges|splits)\.(\d+)\.proj\.weight", r"ushape.\1.\2.project.weight"),
    (r"splits\.(\d+)\.fac", r"ushape.splits.\1.share"),
    (r"out_norm\.scale", "gain"),
)
"""Tensors that are the same in both, and their names: theirs, ours."""
_WAYS = (("down_levels.", "ushape.down."), ("mid_level.", "ushape.middle."), ("up_levels.", "ushape.up."))
_ENDS = frozenset({"patch_in.proj.weight", "patch_out.proj.weight", "time_emb.weight", "time_in_proj.weight"})
_CONDITIONS = frozenset({"aug_emb.weight", "aug_in_proj.weight", "class_emb.weight", "mapping_cond_in_proj.weight"})


@dataclass(frozen=True)
class Converted:
    """A network to build and what to load into it."""

    options: HourglassOptions
    channels: int
    """Of the pictures."""
    vector: int
    """Width of the condition: a one-hot class where there are classes, followed by the mapping condition, if any."""
    state: dict[str, Tensor]
    """The state dict of `Hourglass(options, Task(GridShape(channels, ...), Condition(vector)))`."""


def convert(
    state: State,
    *,
    patch_size: int,
    attention: Sequence[Attention] | None = None,
    kernel: int = 7,
    window: int = 8,
) -> Converted:
    """Convert the inner network of k-diffusion's `image_transformer_v2`.

    The converted network returns at t what theirs returns at sigma = t / (1 - t), without augmentation;
    preconditioning is no part of either.

    Args:
        state: Its state dict, with or without the prefix "inner_model.".
        patch_size: As in its config; patches are square.
        attention: What each level sees; without it neighborhoods, and everything on the last level.
        kernel: Of the neighborhoods.
        window: Of the shifted windows. A level no longer than one on some axis is not shifted along it
            here, where theirs is.

    Raises:
        SdError: The state dict is of another format, or has parts that this network lacks.
    """
    state = {name.removeprefix("inner_model."): tensor for name, tensor in state.items()}
    if missing := sorted((_ENDS | {"mapping.in_norm.scale", "mid_level.0.self_attn.scale"}) - state.keys()):
        raise SdError(f"this is no state dict of image_transformer_v2 with attention everywhere: no {missing[0]!r}")
    options = _options(state, patch_size, attention, kernel, window)
    vectors = _vectors(state)
    ours = {_own_name(name): tensor for name, tensor in state.items() if _is_inside(name, state, options)}
    for name in [name for name in ours if name.endswith("attention.qkv.weight")]:
        ours[name] = _reordered(ours[name], options.head_dim)
    ours |= {"condition.vector_in.weight": vectors} if vectors is not None else {}
    ours |= _noise(state) | _patches(state, patch_size)
    channels = state["patch_in.proj.weight"].shape[1] // patch_size**2
    return Converted(options, channels, 0 if vectors is None else vectors.shape[1], ours)


def _options(
    state: State, patch_size: int, attention: Sequence[Attention] | None, kernel: int, window: int
) -> HourglassOptions:
    outer = _count(state, r"down_levels\.(\d+)\.")
    ways = [f"down_levels.{level}" for level in range(outer)] + ["mid_level"]
    heads = [len(state[f"{way}.0.self_attn.scale"]) for way in ways]
    widths = [len(state[f"{way}.0.self_attn.out_proj.weight"]) for way in ways]
    local: Attention = "neighborhood"
    sees: tuple[Attention, ...] = tuple(attention or (*[local] * outer, "global"))
    return HourglassOptions(
        patch_size=(patch_size, patch_size),
        depths=tuple(_count(state, rf"{re.escape(way)}\.(\d+)\.") for way in ways),
        widths=tuple(widths),
        head_dim=widths[0] // heads[0],
        attention=sees,
        kernel=kernel if "neighborhood" in sees else None,
        window=window if "shifted-window" in sees else None,
        merges=((2, 2),) * outer,
        mlp_widths=tuple(state[f"{way}.0.ff.down_proj.weight"].shape[1] for way in ways),
        mapping_width=len(state["mapping.in_norm.scale"]),
        mapping_depth=_count(state, r"mapping\.blocks\.(\d+)\."),
        mapping_mlp_width=_mapping_mlp_width(state),
        noise_features=2 * len(state["time_emb.weight"]) + 2,
        input_level=False,
        row_embedding=False,
    )


def _mapping_mlp_width(state: State) -> int | None:
    down = state.get("mapping.blocks.0.down_proj.weight")
    return None if down is None else down.shape[1]


def _count(state: State, pattern: str) -> int:
    """How many there are of something numbered."""
    found = {int(match[1]) for name in state if (match := re.match(pattern, name))}
    return len(found)


def _is_inside(name: str, state: State, options: HourglassOptions) -> bool:
    """Whether a tensor has a counterpart; the frequencies of positions have none, if they are the published ones."""
    if not name.endswith(".pos_emb.freqs"):
        return name not in _ENDS | _CONDITIONS
    frequencies = state[name]
    ours = head_frequencies(len(frequencies), options.head_dim // 8).to(frequencies)
    if frequencies.shape != ours.shape or not torch.allclose(frequencies, ours, rtol=1e-4):
        raise SdError(
            f"{name!r} holds other frequencies than image_transformer_v2 starts from; they cannot be set here"
        )
    return False


def _own_name(name: str) -> str:
    for theirs, ours in _RENAMED:
        if re.fullmatch(theirs, name):
            renamed = re.sub(theirs, ours, name)
            return next((own + renamed.removeprefix(way) for way, own in _WAYS if renamed.startswith(way)), renamed)
    raise SdError(f"image_transformer_v2 has no {name!r}; the state dict is of another network")


def _reordered(qkv: Tensor, head_dim: int) -> Tensor:
    """Queries and keys with their rotated channel pairs (i, i + d / 4) moved to (i, i + d / 2)."""
    query, key, value = qkv.unflatten(0, (3, -1, head_dim)).unbind(0)
    first, second, still, more = torch.arange(head_dim).chunk(4)
    order = torch.cat([first, still, second, more])
    return torch.stack([query[:, order], key[:, order], value]).flatten(0, 2)


def _noise(state: State) -> dict[str, Tensor]:
    """Features of the noise level; what the absent augmentation adds is the weight of a frequency of zero."""
    frequencies, weight = state["time_emb.weight"][:, 0], state["time_in_proj.weight"]
    cos, sin = weight.chunk(2, dim=1)
    constant = weight.new_zeros(len(weight), 1)
    if "aug_in_proj.weight" in state:
        constant = state["aug_in_proj.weight"].chunk(2, dim=1)[0].sum(1, keepdim=True)
    return {
        "condition.noise.frequencies": torch.cat([frequencies, frequencies.new_zeros(1)]),
        "condition.noise_in.weight": torch.cat([cos, constant, sin, torch.zeros_like(constant)], dim=1),
    }


def _vectors(state: State) -> Tensor | None:
    parts = [state["class_emb.weight"].T] if "class_emb.weight" in state else []
    parts += [state["mapping_cond_in_proj.weight"]] if "mapping_cond_in_proj.weight" in state else []
    return torch.cat(parts, dim=1) if parts else None


def _patches(state: State, side: int) -> dict[str, Tensor]:
    """Values of a patch: theirs are (row, column, channel), ours (channel, row, column)."""
    into = state["patch_in.proj.weight"].unflatten(1, (side, side, -1)).permute(0, 3, 1, 2).flatten(1)
    out = state["patch_out.proj.weight"].unflatten(0, (side, side, -1)).permute(2, 0, 1, 3).flatten(0, 2)
    return {"patch_in.weight": into, "output.weight": out}
