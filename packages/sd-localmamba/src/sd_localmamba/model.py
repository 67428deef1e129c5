"""The LocalMamba network."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sd_core.nn.conditioning import MappedCondition
from sd_core.nn.feedforward import swiglu_width
from sd_core.nn.norms import AdaRMSNorm, rms_norm
from sd_core.nn.patches import Patches, default_patch
from sd_core.nn.roles import Role, parameter_roles
from sd_core.nn.ushape import UShape
from sd_core.plugin import Task
from sd_localmamba.block import Block
from sd_localmamba.options import LocalMambaOptions
from sd_localmamba.pooling import TokenPooling
from sd_localmamba.scan.selective import require_backend
from sd_localmamba.ss2d import SS2D

SCAN_LAYERS = ("ss2d.in_proj", "ss2d.out_proj")
FEEDFORWARD_LAYERS = ("feedforward.gate_up", "feedforward.down")
"""Hidden matrices of a block: worth adapting, and worth Muon."""


class LocalMamba(nn.Module):
    """LocalMamba (Huang 2024) in the U shape and with the conditioning of HDiT (Crowson 2024), for any rectangle.

    Time, `vector` and a learned mean of `tokens` go through the mapping network into the norms of every
    block. The output starts at zero.

    Raises:
        SdError: `patch_size` does not fit the grid, or `scan_backend` cannot run here.
    """

    def __init__(self, options: LocalMambaOptions, task: Task) -> None:
        super().__init__()
        require_backend(options.scan_backend, options.d_state)
        width = options.widths[0]
        # Electrodes stay apart at first; the levels merge them.
        sides = options.patch_size or default_patch(task.shape, picture=2, series=(1, 8))
        self.patches = Patches.of(task.shape, sides)
        self.prediction_hint = "sample" if 4 * self.patches.values >= width else "vector_field"
        self.token_count = self.patches.count
        self.lora_targets = SCAN_LAYERS + (FEEDFORWARD_LAYERS if options.mlp_ratio else ())
        self.patch_in = nn.Linear(self.patches.values, width, bias=False)
        rows, columns = self.patches.rows, self.patches.columns
        self.rows = _table(rows, width) if options.axial_embedding else None
        self.columns = _table(columns, width) if options.axial_embedding else None
        self.condition = _condition(options, task)
        self.levels = UShape(
            rows,
            columns,
            options.widths,
            options.depths,
            lambda level: Block(level, options),
            step=(self.patches.height, self.patches.width),
            merges=options.merges,
        )
        self.gain = nn.Parameter(torch.ones(width))
        self.output = nn.Linear(width, self.patches.values, bias=False)
        nn.init.zeros_(self.output.weight)

    def forward(self, x: Tensor, t: Tensor, vector: Tensor | None = None, tokens: Tensor | None = None) -> Tensor:
        """Predict from x (B, C, H, W), t (B,) in [0, 1], vector (B, D), tokens (B, N, D) -> (B, C, H, W)."""
        condition = self.condition(x, t, vector, tokens)
        stream = self.levels(self._embed(x), condition)
        patches = self.output(rms_norm(stream.flatten(1, 2), self.gain))
        return self.patches.join(patches).to(x.dtype)

    def _embed(self, x: Tensor) -> Tensor:
        """The residual stream (B, rows, columns, width), in the dtype of x under autocast too."""
        stream: Tensor = self.patch_in(self.patches.split(x))
        stream = stream.view(len(x), self.patches.rows, self.patches.columns, -1)
        if self.rows is not None:
            stream = stream + self.rows[:, None]
        if self.columns is not None:
            stream = stream + self.columns
        return stream.to(x.dtype)

    def block_modules(self) -> Sequence[nn.Module]:
        """The units of gradient checkpointing, compilation and sharding."""
        return self.levels.block_modules()

    def param_roles(self) -> dict[str, Role]:
        """Role of every parameter, by name; see `sd_core.nn.roles`."""
        hidden = [layer for name, layer in self.named_modules() if name.endswith(self.lora_targets)]
        scans = [module for module in self.modules() if isinstance(module, SS2D)]
        positions = [table for table in (self.rows, self.columns) if table is not None]
        tables = positions + [table for scan in scans for table in scan.tables()]
        norms = [module for module in self.modules() if isinstance(module, AdaRMSNorm)]
        return parameter_roles(self, matrices=hidden, tables=tables, mapping=[self.condition.mapping, *norms])


def _condition(options: LocalMambaOptions, task: Task) -> MappedCondition:
    width, tokens = options.mapping_width, task.condition.tokens
    return MappedCondition(
        task,
        width,
        features=2 * (width // 2),
        depth=options.mapping_depth,
        hidden=swiglu_width(width, 4.0),
        dropout_rate=options.dropout_rate,
        input_level=options.input_level,
        pooling=TokenPooling(tokens, width) if tokens else None,
    )


def _table(count: int, width: int) -> nn.Parameter | None:
    return nn.Parameter(0.02 * torch.randn(count, width)) if count > 1 else None
