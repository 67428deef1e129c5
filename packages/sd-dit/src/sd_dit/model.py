"""The diffusion transformer."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sd_core.nn.conditioning import given
from sd_core.nn.embeddings import TimeEmbedding
from sd_core.nn.levels import InputLevel
from sd_core.nn.norms import modulate
from sd_core.nn.patches import Patches, default_patch, warn_of_many_tokens
from sd_core.nn.roles import Role, parameter_roles
from sd_core.nn.rope import AxialRope
from sd_core.plugin import GridShape, Task
from sd_dit.block import Block
from sd_dit.direct import DirectPath
from sd_dit.gains import PatchLevel
from sd_dit.options import DiTOptions
from sd_dit.own import OwnPath


class DiT(nn.Module):
    """DiT (Peebles & Xie 2023) on a flow path (SiT, Ma 2024), for any rectangle.

    Time and `vector` modulate every block; `tokens` stand before the patches in the sequence and
    have no position. The output starts at zero, but for `own_gain` times the window's own filter.

    Raises:
        SdError: `patch_size` does not fit the grid.
    """

    lora_targets = ("attention.qkv", "attention.out", "feedforward.gate_up", "feedforward.down")
    """Linear layers worth adapting."""

    def __init__(self, options: DiTOptions, task: Task) -> None:
        super().__init__()
        width = options.heads * options.head_dim
        # A patch over all electrodes has the covariance between them from the first steps.
        sides = options.patch_size or default_patch(task.shape, picture=4, series=("all", 16))
        self.patches = Patches.of(task.shape, sides)
        fat = 4 * self.patches.values >= width
        self.prediction_hint = "sample" if fat else "vector_field"
        self.token_count = self.patches.count
        warn_of_many_tokens(self.token_count)
        self.patch_in = _patch_embedding(self.patches.values, width, options.bottleneck)
        self.rows = _row_table(self.patches.rows, width) if options.row_embedding else None
        self.rope = AxialRope(self.patches.rows, self.patches.columns, options.head_dim)
        self.time = TimeEmbedding(width)
        self.level = InputLevel(task.shape, width) if options.input_level else None
        condition = task.condition
        self.vector_in = nn.Linear(condition.vector, width, bias=False) if condition.vector else None
        self.tokens_in = nn.Linear(condition.tokens, width, bias=False) if condition.tokens else None
        self.blocks = nn.ModuleList(
            Block(options.heads, options.head_dim, options.mlp_ratio, options.dropout_rate)
            for _ in range(options.layers)
        )
        self.modulation = nn.Linear(width, 2 * width, bias=False)
        self.output = nn.Linear(width, self.patches.values, bias=False)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.output.weight)
        local = options.local_gains
        self.direct = DirectPath(self.patches.values, width, local=local) if options.direct_path else None
        self.own = _own_path(options, task.shape, self.patches, width)
        self.patch_level = PatchLevel(self.patches, width) if local else None

    def forward(self, x: Tensor, t: Tensor, vector: Tensor | None = None, tokens: Tensor | None = None) -> Tensor:
        """Predict from x (B, C, H, W), t (B,) in [0, 1], vector (B, D), tokens (B, N, D) -> (B, C, H, W)."""
        condition = F.silu(self._condition(x, t, vector))
        split = self.patches.split(x)
        own = None if self.own is None else self.own(x, t)
        sequence, prefix = self._sequence(split, t, tokens, own)
        cos, sin = self.rope(prefix)
        for block in self.blocks:
            sequence = block(sequence, condition, cos, sin)
        shift, scale = self.modulation(condition).chunk(2, dim=-1)
        found = modulate(sequence[:, prefix:], shift, scale)
        patches = self.output(found)
        if self.direct is not None:
            patches = patches + self.direct(split, condition, found)
        if self.own is not None and own is not None:
            patches = patches + self.own.gains(condition, found) * own
        return self.patches.join(patches).to(x.dtype)

    def _condition(self, x: Tensor, t: Tensor, vector: Tensor | None) -> Tensor:
        condition: Tensor = self.time(t)
        if self.level is not None:
            condition = condition + self.level(x, t)
        if self.vector_in is not None:
            condition = condition + self.vector_in(given(vector, "vector"))
        return condition

    def _sequence(self, split: Tensor, t: Tensor, tokens: Tensor | None, own: Tensor | None) -> tuple[Tensor, int]:
        """The residual stream, in the dtype of the input under autocast too, and how much of it is prefix."""
        sequence = self.patch_in(split)
        if self.own is not None and own is not None:
            sequence = sequence + self.own.show(own)
        if self.patch_level is not None:
            sequence = sequence + self.patch_level(split, t)
        if self.rows is not None:
            sequence = sequence + self.rows.repeat_interleave(self.patches.columns, dim=0)
        if self.tokens_in is None:
            return sequence.to(split.dtype), 0
        prefix = self.tokens_in(given(tokens, "tokens"))
        return torch.cat([prefix.to(split.dtype), sequence.to(split.dtype)], dim=1), prefix.shape[1]

    def block_modules(self) -> Sequence[nn.Module]:
        """The units of gradient checkpointing, compilation and sharding."""
        return list(self.blocks)

    def param_roles(self) -> dict[str, Role]:
        """Role of every parameter, by name; see `sd_core.nn.roles`."""
        hidden = [layer for name, layer in self.named_modules() if name.endswith(self.lora_targets)]
        tables = [] if self.rows is None else [self.rows]
        return parameter_roles(self, matrices=hidden, tables=tables)


def _patch_embedding(values: int, width: int, bottleneck: int) -> nn.Module:
    """Fat patches pass through a bottleneck: what is low-dimensional in them is learned first (JiT, 2025)."""
    if 0 < bottleneck < values and 4 * values > width:
        return nn.Sequential(nn.Linear(values, bottleneck, bias=False), nn.Linear(bottleneck, width, bias=False))
    return nn.Linear(values, width, bias=False)


def _own_path(options: DiTOptions, shape: GridShape, patches: Patches, width: int) -> OwnPath | None:
    if not options.own_filter:
        return None
    local, start, waxes = options.local_gains, options.own_gain, options.own_waxing
    return OwnPath(shape, patches, width, local=local, start=start, waxes=waxes)


def _row_table(rows: int, width: int) -> nn.Parameter | None:
    return nn.Parameter(0.02 * torch.randn(rows, width)) if rows > 1 else None
