"""Core's own trackers. They see a training; they never steer it."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sd_core.errors import SdError
from sd_core.options import NoOptions
from sd_core.run.tracker_options import WandBOptions

if TYPE_CHECKING:
    from torch import Tensor


class TensorBoard:
    """Events for `tensorboard --logdir`."""

    def __init__(self, options: NoOptions, run_dir: Path) -> None:  # noqa: ARG002 - all are built alike
        self._folder = run_dir
        self._purge_step = 0  # a fresh run hides what an older one left in the same folder
        self._opened: Any = None

    def resume(self, step: int) -> None:
        """Hide events after this step: they were written by a run that stopped and will come again."""
        self._purge_step = step + 1

    @property
    def _writer(self) -> Any:
        if self._opened is None:
            from torch.utils.tensorboard import SummaryWriter

            self._opened = SummaryWriter(str(self._folder), purge_step=self._purge_step)
        return self._opened

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """One point per value."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def images(self, name: str, pictures: Tensor, step: int) -> None:
        """Pictures (B, 3, H, W) in [0, 1], a card each: side by side they would be too small to read."""
        for number, picture in enumerate(pictures.cpu()):
            self._writer.add_image(f"{name}/{number}", picture, step)

    def close(self) -> None:
        """Write out what is pending."""
        if self._opened is not None:
            self._opened.close()


class WandB:
    """A Weights & Biases run."""

    def __init__(self, options: WandBOptions, run_dir: Path) -> None:
        import wandb  # type: ignore[import-not-found, import-untyped, unused-ignore]

        if options.wandb_project is None:
            raise SdError("tracker 'wandb' needs a project: set logging.wandb_project")
        self._wandb = wandb
        name = run_dir.name
        # Two runs of one name in different folders are two runs.
        number = f"{name}-{blake2b(str(run_dir.resolve()).encode(), digest_size=4).hexdigest()}"
        self._run = wandb.init(project=options.wandb_project, name=name, id=number, dir=str(run_dir), resume="allow")

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """One point per value."""
        self._run.log(dict(values), step=step)

    def images(self, name: str, pictures: Tensor, step: int) -> None:
        """Pictures (B, 3, H, W) in [0, 1]."""
        shown = [self._wandb.Image(picture.permute(1, 2, 0).numpy()) for picture in pictures.cpu()]
        self._run.log({name: shown}, step=step)

    def close(self) -> None:
        """End the run."""
        self._run.finish()
