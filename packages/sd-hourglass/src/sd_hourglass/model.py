"""The hourglass diffusion transformer."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sd_core.nn.conditioning import MappedCondition, given
from sd_core.nn.norms import AdaRMSNorm, rms_norm
from sd_core.nn.patches import Patches, default_patch, warn_of_many_tokens
from sd_core.nn.precision import without_autocast
from sd_core.nn.roles import Role, parameter_roles
from sd_core.nn.ushape import UShape
from sd_core.plugin import SdError, Task
from sd_hourglass.block import Block
from sd_hourglass.options import HourglassOptions


class Hourglass(nn.Module):
    """HDiT (Crowson 2024, arXiv 2401.11605) for any rectangle.

    Noise level, `vector` and the strength of the input pass a mapping network and scale the norms of every
    block; `tokens` are further keys and values of the global levels. The output starts at zero.

    Raises:
        SdError: `patch_size`, `kernel` or `window` does not fit the grid, or no level sees the condition's tokens.
    """

    lora_targets = ("attention.qkv", "attention.out", "feedforward.gate_up", "feedforward.down")
    """Linear layers worth adapting."""

    def __init__(self, options: HourglassOptions, task: Task) -> None:
        super().__init__()
        # Electrodes stay apart at first; the levels merge them.
        sides = options.patch_size or default_patch(task.shape, picture=2, series=(1, 8))
        self.patches = Patches.of(task.shape, sides)
        values, width, condition_width = self.patches.values, options.widths[0], options.mapping_width
        self.prediction_hint = "sample" if 4 * values >= width else "vector_field"
        self.token_count = self.patches.count
        tokens = task.condition.tokens
        _refuse_unseen_tokens(options, tokens)
        self.patch_in = nn.Linear(values, width, bias=False)
        rows = self.patches.rows if options.row_embedding else 1
        self.rows = nn.Parameter(0.02 * torch.randn(rows, width)) if rows > 1 else None
        self.condition = MappedCondition(
            task,
            condition_width,
            features=options.noise_features,
            depth=options.mapping_depth,
            hidden=options.mapping_mlp_width or 3 * condition_width,
            dropout_rate=options.dropout_rate,
            input_level=options.input_level,
        )
        self.tokens_in = nn.Linear(tokens, condition_width, bias=False) if tokens else None
        context_width = condition_width if tokens else 0
        self.ushape = UShape(
            self.patches.rows,
            self.patches.columns,
            options.widths,
            options.depths,
            lambda level: Block(level, options, context_width),
            step=(self.patches.height, self.patches.width),
            merges=options.merges,
        )
        warn_of_many_tokens(_most_global_tokens(options, self.ushape))
        self.gain = nn.Parameter(torch.ones(width))
        self.output = nn.Linear(width, values, bias=False)
        nn.init.zeros_(self.output.weight)

    def forward(self, x: Tensor, t: Tensor, vector: Tensor | None = None, tokens: Tensor | None = None) -> Tensor:
        """Predict from x (B, C, H, W), t (B,) in [0, 1], vector (B, D), tokens (B, N, D) -> (B, C, H, W)."""
        condition = self.condition(x, t, vector)
        context = None if self.tokens_in is None else rms_norm(self.tokens_in(given(tokens, "tokens")))
        grid = self.ushape(self._grid(x), condition, context)
        patches = self.output(rms_norm(grid.flatten(1, 2), self.gain))
        return self.patches.join(patches).to(x.dtype)

    def _grid(self, x: Tensor) -> Tensor:
        """The patches as tokens (B, rows, columns, width), in the dtype of x; later rounding is small beside theirs."""
        with without_autocast(x.device):
            grid: Tensor = self.patch_in(self.patches.split(x)).unflatten(1, (self.patches.rows, self.patches.columns))
            return grid if self.rows is None else grid + self.rows[:, None]

    def block_modules(self) -> Sequence[nn.Module]:
        """The units of gradient checkpointing, compilation and sharding."""
        return self.ushape.block_modules()

    def param_roles(self) -> dict[str, Role]:
        """Role of every parameter, by name; see `sd_core.nn.roles`."""
        inside = [module for module in self.ushape.modules() if isinstance(module, nn.Linear)]
        norms = [module for module in self.ushape.modules() if isinstance(module, AdaRMSNorm)]
        tables = [] if self.rows is None else [self.rows]
        return parameter_roles(self, matrices=inside, tables=tables, mapping=[self.condition.mapping, *norms])


def _refuse_unseen_tokens(options: HourglassOptions, width: int) -> None:
    levels = range(len(options.depths))
    if width and not any(options.attention_of(level) == "global" for level in levels):
        raise SdError(
            '[model.extras] attention: a conditioning by tokens is seen by "global" levels only; make one of them so'
        )


def _most_global_tokens(options: HourglassOptions, ushape: UShape) -> int:
    """Tokens that attend to each other, in the largest level where all do."""
    levels = [level for level in ushape.levels if options.attention_of(level.index) == "global"]
    return max((level.rows * level.columns for level in levels), default=0)
