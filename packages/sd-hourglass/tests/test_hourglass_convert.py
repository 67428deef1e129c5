"""Published weights give the published network: the reference here is written from the equations.

Crowson 2024 (arXiv 2401.11605): sections 4.1 to 4.4. Tensors are named as in the published files.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from sd_core.plugin import Condition, GridShape, SdError, Task
from sd_hourglass.convert import Converted, convert
from sd_hourglass.model import Hourglass
from sd_hourglass.options import Attention

State = dict[str, Tensor]
WIDTHS, DEPTHS, HIDDEN, HEAD_DIM = (32, 64), (2, 3), (48, 80), 16
MAPPING, MAPPING_HIDDEN, CLASSES, EXTRA, CHANNELS, SIDE = 24, 40, 5, 3, 3, 2


def published(conditioned: bool = True) -> State:
    """A random network in the published format."""
    generator = torch.Generator().manual_seed(0)

    def weight(out: int, into: int) -> Tensor:
        return torch.randn(out, into, generator=generator, dtype=torch.float64) / math.sqrt(into)

    def gain(count: int) -> Tensor:
        return 1 + 0.2 * torch.randn(count, generator=generator, dtype=torch.float64)

    state = {
        "patch_in.proj.weight": weight(WIDTHS[0], CHANNELS * SIDE**2),
        "patch_out.proj.weight": weight(CHANNELS * SIDE**2, WIDTHS[0]),
        "time_emb.weight": weight(MAPPING // 2, 1),
        "time_in_proj.weight": weight(MAPPING, MAPPING),
        "aug_emb.weight": weight(MAPPING // 2, 9),
        "aug_in_proj.weight": weight(MAPPING, MAPPING),
        "mapping.in_norm.scale": gain(MAPPING),
        "mapping.out_norm.scale": gain(MAPPING),
        "out_norm.scale": gain(WIDTHS[0]),
        "merges.0.proj.weight": weight(WIDTHS[1], 4 * WIDTHS[0]),
        "splits.0.proj.weight": weight(4 * WIDTHS[0], WIDTHS[1]),
        "splits.0.fac": torch.tensor([0.3], dtype=torch.float64),
    }
    if conditioned:
        state |= {"class_emb.weight": weight(CLASSES, MAPPING), "mapping_cond_in_proj.weight": weight(MAPPING, EXTRA)}
    for i in range(2):
        state |= {
            f"mapping.blocks.{i}.norm.scale": gain(MAPPING),
            f"mapping.blocks.{i}.up_proj.weight": weight(2 * MAPPING_HIDDEN, MAPPING),
            f"mapping.blocks.{i}.down_proj.weight": weight(MAPPING, MAPPING_HIDDEN),
        }
    for way, level in (("down_levels.0", 0), ("up_levels.0", 0), ("mid_level", 1)):
        width, hidden, heads = WIDTHS[level], HIDDEN[level], WIDTHS[level] // HEAD_DIM
        for i in range(DEPTHS[level]):
            state |= {
                f"{way}.{i}.self_attn.norm.linear.weight": 0.3 * weight(width, MAPPING),
                f"{way}.{i}.self_attn.qkv_proj.weight": weight(3 * width, width),
                f"{way}.{i}.self_attn.scale": 10 * gain(heads),
                f"{way}.{i}.self_attn.pos_emb.freqs": frequencies(heads),
                f"{way}.{i}.self_attn.out_proj.weight": weight(width, width),
                f"{way}.{i}.ff.norm.linear.weight": 0.3 * weight(width, MAPPING),
                f"{way}.{i}.ff.up_proj.weight": weight(2 * hidden, width),
                f"{way}.{i}.ff.down_proj.weight": weight(width, hidden),
            }
    return state


def frequencies(heads: int) -> Tensor:
    """From pi to 10 pi in equal ratios, without the last, head after head: head h has the h-th of every `heads`."""
    count = HEAD_DIM // 8
    values = [math.pi * 10 ** (i / (heads * count)) for i in range(heads * count)]
    return torch.tensor([values[head::heads] for head in range(heads)], dtype=torch.float64)


class Reference:
    """The published network, slowly: token by token where that is plainer."""

    def __init__(self, state: State, sees: Sequence[Attention], kernel: int, window: int) -> None:
        self.state, self.sees, self.kernel, self.window = state, sees, kernel, window

    def __call__(self, x: Tensor, sigma: Tensor, class_index: Tensor | None, extra: Tensor | None) -> Tensor:
        condition = self._mapping(sigma, class_index, extra)
        tokens = self._linear("patch_in.proj", self._cells(x.permute(0, 2, 3, 1), SIDE))
        skip = self._way("down_levels.0", tokens, condition, 0, 0)
        deep = self._linear("merges.0.proj", self._cells(skip, 2))
        deep = self._way("mid_level", deep, condition, 1, 0)
        split = self._uncells(self._linear("splits.0.proj", deep), 2)
        share = self.state["splits.0.fac"]
        tokens = self._way("up_levels.0", (1 - share) * skip + share * split, condition, 0, DEPTHS[0])
        out = self._linear("patch_out.proj", rms(tokens) * self.state["out_norm.scale"])
        return self._uncells(out, SIDE).permute(0, 3, 1, 2)

    def _linear(self, name: str, x: Tensor) -> Tensor:
        return x @ self.state[f"{name}.weight"].T

    def _cells(self, x: Tensor, side: int) -> Tensor:
        """Side by side cells (B, H, W, C), the values of one in the order row, column, channel."""
        parts = [x[:, i::side, j::side] for i in range(side) for j in range(side)]
        return torch.cat(parts, dim=-1)

    def _uncells(self, x: Tensor, side: int) -> Tensor:
        batch, rows, columns, values = x.shape
        out = x.new_empty(batch, rows * side, columns * side, values // side**2)
        for index, part in enumerate(x.chunk(side**2, dim=-1)):
            out[:, index // side :: side, index % side :: side] = part
        return out

    def _mapping(self, sigma: Tensor, class_index: Tensor | None, extra: Tensor | None) -> Tensor:
        angles = 2 * math.pi * (sigma.log() / 4)[:, None] * self.state["time_emb.weight"][:, 0]
        x = self._linear("time_in_proj", torch.cat([angles.cos(), angles.sin()], dim=1))
        angles = 2 * math.pi * x.new_zeros(len(x), 9) @ self.state["aug_emb.weight"].T
        x = x + self._linear("aug_in_proj", torch.cat([angles.cos(), angles.sin()], dim=1))
        if class_index is not None and extra is not None:
            x = x + self.state["class_emb.weight"][class_index] + self._linear("mapping_cond_in_proj", extra)
        x = rms(x) * self.state["mapping.in_norm.scale"]
        for i in range(2):
            block = f"mapping.blocks.{i}"
            x = x + self._gated(block, rms(x) * self.state[f"{block}.norm.scale"])
        return rms(x) * self.state["mapping.out_norm.scale"]

    def _gated(self, name: str, x: Tensor) -> Tensor:
        up, gate = self._linear(f"{name}.up_proj", x).chunk(2, dim=-1)
        return self._linear(f"{name}.down_proj", up * gate * (1 + torch.erf(gate / math.sqrt(2))) / 2)

    def _norm(self, name: str, x: Tensor, condition: Tensor) -> Tensor:
        return rms(x) * (1 + self._linear(f"{name}.norm.linear", condition))[:, None, None]

    def _way(self, name: str, x: Tensor, condition: Tensor, level: int, turn: int) -> Tensor:
        for i in range(DEPTHS[level]):
            block = f"{name}.{i}"
            attended = self._attention(
                f"{block}.self_attn", self._norm(f"{block}.self_attn", x, condition), level, turn
            )
            x = x + attended
            x = x + self._gated(f"{block}.ff", self._norm(f"{block}.ff", x, condition))
            turn += 1
        return x

    def _attention(self, name: str, x: Tensor, level: int, turn: int) -> Tensor:
        batch, rows, columns, width = x.shape
        qkv = self._linear(f"{name}.qkv_proj", x).reshape(batch, rows * columns, 3, -1, HEAD_DIM)
        scale = self.state[f"{name}.scale"][:, None]
        query, key = (part / (part.square().sum(-1, keepdim=True) + 1e-6).sqrt() for part in qkv.unbind(2)[:2])
        angles = self._angles(rows, columns, self.state[f"{name}.pos_emb.freqs"])
        logits = torch.einsum("bqhd,bkhd->bhqk", turned(query * scale, angles), turned(key, angles))
        logits = logits.masked_fill(~self._mask(rows, columns, level, turn), -math.inf)
        out = torch.einsum("bhqk,bkhd->bqhd", logits.softmax(-1), qkv[:, :, 2])
        return self._linear(f"{name}.out_proj", out.reshape(batch, rows, columns, width))

    def _angles(self, rows: int, columns: int, turns: Tensor) -> Tensor:
        """(rows * columns, heads, HEAD_DIM / 4): the row's turns, then the column's."""
        longest = max(rows, columns)
        places = [
            [(2 * row + 1 - rows) / longest, (2 * column + 1 - columns) / longest]
            for row in range(rows)
            for column in range(columns)
        ]
        place = torch.tensor(places, dtype=torch.float64)
        return torch.cat([place[:, None, :1] * turns, place[:, None, 1:] * turns], dim=-1)

    def _mask(self, rows: int, columns: int, level: int, turn: int) -> Tensor:
        shift = self.window // 2 if turn % 2 else 0

        def sees(q: int, k: int, size: int) -> bool:
            if self.sees[level] == "neighborhood":
                start = min(max(q - self.kernel // 2, 0), size - self.kernel)
                return start <= k < start + self.kernel
            return self.sees[level] == "global" or (q + shift) // self.window == (k + shift) // self.window

        down, right = (
            torch.tensor([[sees(q, k, size) for k in range(size)] for q in range(size)]) for size in (rows, columns)
        )
        return (down[:, None, :, None] & right[:, None, :]).reshape(rows * columns, rows * columns)


def rms(x: Tensor) -> Tensor:
    return x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt()


def turned(x: Tensor, angles: Tensor) -> Tensor:
    """The first half of the channels is turned in pairs a quarter of the head apart."""
    first, second, still = x.split([HEAD_DIM // 4, HEAD_DIM // 4, HEAD_DIM // 2], dim=-1)
    cos, sin = angles.cos(), angles.sin()
    return torch.cat([first * cos - second * sin, first * sin + second * cos, still], dim=-1)


def network_of(converted: Converted, height: int, width: int) -> Hourglass:
    task = Task(GridShape(converted.channels, height, width), Condition(vector=converted.vector))
    network = Hourglass(converted.options, task).double()
    network.load_state_dict(converted.state)
    return network.eval()


@pytest.mark.parametrize(
    "attention", [("neighborhood", "global"), ("shifted-window", "neighborhood"), ("global", "shifted-window")]
)
def test_converted_weights_give_the_published_outputs(attention: tuple[Attention, Attention]) -> None:
    """On a grid that is not square, to float32: noise levels and tables of positions are computed in it."""
    state = published()
    network = network_of(convert(state, patch_size=SIDE, attention=attention, kernel=3, window=2), 16, 24)
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(2, CHANNELS, 16, 24, generator=generator, dtype=torch.float64)
    t = torch.tensor([0.2, 0.9], dtype=torch.float64)
    classes, extra = torch.tensor([3, 1]), torch.randn(2, EXTRA, generator=generator, dtype=torch.float64)
    vector = torch.cat([torch.eye(CLASSES, dtype=torch.float64)[classes], extra], dim=1)
    expected = Reference(state, attention, kernel=3, window=2)(x, t / (1 - t), classes, extra)
    torch.testing.assert_close(network(x, t, vector), expected, rtol=1e-5, atol=1e-5)
    assert expected.std() > 0.3, "a reference near zero proves nothing"


def test_a_network_without_classes_has_no_vector() -> None:
    state = {f"inner_model.{name}": tensor for name, tensor in published(conditioned=False).items()}
    converted = convert(state, patch_size=SIDE, kernel=3)
    assert converted.vector == 0
    x, t = torch.randn(1, CHANNELS, 16, 16, dtype=torch.float64), torch.tensor([0.5], dtype=torch.float64)
    expected = Reference(published(conditioned=False), ("neighborhood", "global"), 3, 0)(x, t / (1 - t), None, None)
    torch.testing.assert_close(network_of(converted, 16, 16)(x, t), expected, rtol=1e-5, atol=1e-5)


def test_the_options_follow_from_the_tensors() -> None:
    options = convert(published(), patch_size=SIDE).options
    assert (options.depths, options.widths, options.mlp_widths) == (DEPTHS, WIDTHS, HIDDEN)
    assert (options.head_dim, options.mapping_width, options.mapping_mlp_width) == (HEAD_DIM, MAPPING, MAPPING_HIDDEN)
    assert not options.input_level
    assert options.merges == ((2, 2),)


def test_other_networks_are_refused() -> None:
    with pytest.raises(SdError, match="no state dict of image_transformer_v2"):
        convert({"weight": torch.zeros(3)}, patch_size=2)
    with pytest.raises(SdError, match=r"'extra\.weight'"):
        convert(published() | {"extra.weight": torch.zeros(3)}, patch_size=2)
    state = published()
    state["mid_level.0.self_attn.pos_emb.freqs"] *= 2
    with pytest.raises(SdError, match=r"mid_level\.0.* other frequencies"):
        convert(state, patch_size=2)
