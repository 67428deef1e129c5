"""The block: a scan and a feed-forward layer, both conditioned by their norms."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sd_core.nn.feedforward import GEGLU, swiglu_width
from sd_core.nn.norms import AdaRMSNorm
from sd_core.nn.ushape import Level
from sd_localmamba.options import LocalMambaOptions
from sd_localmamba.ss2d import SS2D


class Block(nn.Module):
    """SS2D and GEGLU on a residual stream, each behind an adaptive norm; starts as the identity."""

    def __init__(self, level: Level, options: LocalMambaOptions) -> None:
        super().__init__()
        width = level.width
        self.scan_norm = AdaRMSNorm(width, options.mapping_width)
        self.ss2d = SS2D(
            width,
            level.rows,
            level.columns,
            options.directions,
            channels=options.scan_width(width),
            states=options.d_state,
            rank=options.step_rank(width),
            backend=options.scan_backend,
        )
        self.dropout = nn.Dropout(options.dropout_rate)
        self.fed_norm = AdaRMSNorm(width, options.mapping_width) if options.mlp_ratio else None
        self.feedforward = GEGLU(width, swiglu_width(width, options.mlp_ratio)) if options.mlp_ratio else None

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """From x (B, rows, columns, width), condition (B, mapping_width) -> shape and dtype of x."""
        scanned: Tensor = self.ss2d(self.scan_norm(x, condition))
        x = torch.add(x, self.dropout(scanned))
        if self.feedforward is None or self.fed_norm is None:
            return x
        fed: Tensor = self.feedforward(self.fed_norm(x, condition))
        return torch.add(x, self.dropout(fed))
