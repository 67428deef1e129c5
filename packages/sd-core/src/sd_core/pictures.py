"""Rendered pictures of old datasets, as a representation that leaves them as they are."""

from __future__ import annotations

from torch import Tensor, nn

from sd_core.errors import SdError
from sd_core.task import GridShape, WindowSource


class StoredPictures(nn.Module):
    """8-bit pictures (B, C, H, W) as floats in [-1, 1]; never EEG again.

    The shape is that of the dataset's pictures; there are no options and no statistics.
    """

    parts = 1
    exact = False
    reach = 1.0

    def __init__(self, shape: GridShape) -> None:
        super().__init__()
        self.shape = shape

    def fit(self, train: WindowSource) -> None:
        """Nothing to take."""

    def encode(self, signal: Tensor, part: Tensor | None = None) -> Tensor:  # noqa: ARG002 - pictures have one part
        """Pictures, uint8 (B, C, H, W) -> float32 in [-1, 1]."""
        return signal.float() / 127.5 - 1

    def decode(self, x: Tensor) -> Tensor:
        """Refused.

        Raises:
            SdError: always; 8 bits and a colour map do not turn back into microvolts.
        """
        raise SdError(
            f"these are rendered pictures ({tuple(x.shape[1:])}), which cannot become EEG windows; "
            "build a window dataset with `sd-data build` and train on that"
        )

    def picture(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, 3, H, W) in [0, 1]; grey pictures stay grey."""
        shown = ((x.float() + 1) / 2).clamp(0, 1)
        return shown if self.shape.channels == 3 else shown[:, :1].expand(-1, 3, -1, -1)
