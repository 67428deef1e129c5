"""Old rendered pictures pass through a representation that changes nothing but the scale."""

from __future__ import annotations

import pytest
import torch

from sd_core.errors import SdError
from sd_core.pictures import StoredPictures
from sd_core.task import GridShape


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_keep_every_shade(channels: int) -> None:
    representation = StoredPictures(GridShape(channels, 16, 16))
    pixels = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16).expand(2, channels, -1, -1)
    x = representation.encode(pixels)
    assert x.dtype == torch.float32
    assert (float(x.min()), float(x.max())) == (-1.0, 1.0)
    picture = representation.picture(x)
    assert picture.shape == (2, 3, 16, 16)
    torch.testing.assert_close(picture, pixels.float().expand(-1, 3, -1, -1) / 255)


def test_pictures_do_not_become_signals() -> None:
    representation = StoredPictures(GridShape(3, 8, 8))
    assert not representation.exact
    assert representation.parts == 1
    with pytest.raises(SdError, match="cannot become EEG"):
        representation.decode(torch.zeros(1, 3, 8, 8))
