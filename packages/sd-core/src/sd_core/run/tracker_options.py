"""Options of core's own trackers. No torch."""

from __future__ import annotations

from sd_core.options import Options


class WandBOptions(Options):
    """Options of the Weights & Biases tracker."""

    wandb_project: str | None = None
    """The project: `[logging] wandb_project`."""
