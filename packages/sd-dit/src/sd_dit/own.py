"""What a noisy window's own covariance tells about the data in it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sd_core.nn.patches import Patches
from sd_core.nn.precision import without_autocast
from sd_core.plugin import GridShape, SdError
from sd_dit.gains import Gains
from sd_dit.waxing import waxing

SERIES = 512
"""From this many columns on the width is taken for time (`sd_core.nn.levels`)."""
SPECTRUM, LEVELS, BANDS = (1, 8, 64), (1, 16), 8
"""Groups of frequencies: for the power of all rows, for the power of each row, for the covariance of the rows.

From all of them to few: how loud a window is shows through more noise than its spectrum, and what a window becomes is
decided there.
"""
DOUBT, DOUBT_OF_COVARIANCE = 4.0, 32.0
"""How little is trusted what noise hides; found on recordings of eegmat, where twice or half as much is alike."""
NEAR = 1e-3
"""Distance from both ends of the path within which they count as reached."""
QUIET = 0.02
"""Least power that a group is taken to have, against white data under the same noise."""


class OwnPath(nn.Module):
    """The window's own filter by patches: shown to the blocks, and past them with gains told by the condition."""

    def __init__(
        self, shape: GridShape, patches: Patches, width: int, *, local: bool, start: float, waxes: bool = False
    ) -> None:
        super().__init__()
        self.patches = patches
        self.filter = OwnFilter(shape, waxes=waxes)
        self.show = nn.Linear(patches.values, width, bias=False)
        self.gains = Gains(patches.values, width, local=local, start=start)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Patches (B, N, values) of what the filter of x (B, C, H, W) at t (B,) adds."""
        split: Tensor = self.patches.split(self.filter(x, t).to(x.dtype))
        return split


class OwnFilter(nn.Module):
    """Wiener's filter with the spectrum and covariance of the window at hand, less the filter of white data.

    People differ in how electrodes and frequencies go together more than in anything else about their EEG. A denoiser
    for everybody makes everybody alike; one that goes by x_t x_t^T removes less of what this window is made of.
    In x_t = (1 - t) x0 + t noise it is x0 = (I - t^2 S^-1) x_t / (1 - t), with S = E x_t x_t^T. S is taken as the power
    of all there is, times that of groups of frequencies against it, times that of each row against those, times a
    covariance of the rows; each is known from so many samples, and drawn towards what is known without it the more the
    less the data show in the noise. No weights: it is worked out anew for every input.

    Rows of a series are its electrodes; of a picture, where the height is frequency, its channels.
    Where it `waxes`, the power of a series is moreover one of each moment (`sd_dit.waxing`).

    Raises:
        SdError: a picture that shall wax.
    """

    def __init__(self, shape: GridShape, *, waxes: bool = False) -> None:
        super().__init__()
        self._waxes = waxes
        self._is_series = shape.width >= SERIES
        if waxes and not self._is_series:
            raise SdError(f"own_waxing is for series of {SERIES} samples and more: leave it out")
        count = shape.width // 2 if self._is_series else shape.height
        self._powers = tuple(
            (groups(count, most), rows) for rows, counts in ((False, SPECTRUM), (True, LEVELS)) for most in counts
        )
        self._bands = groups(count, BANDS)

    @torch.no_grad()
    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Of x (B, C, H, W) at t (B,) -> what the filter adds, over the spread of what is unknown; float32."""
        with without_autocast(x.device):
            time = t.float().clamp(NEAR, 1 - NEAR)
            if not self._is_series:
                return own_share(x.float(), time, self._powers, self._bands)
            spectrum = _spectrum(x.float().flatten(1, 2))
            if self._waxes:
                added = _waxing_share(spectrum, time, self._powers, self._bands, x.shape[3])
            else:
                added = _waveform(own_share(spectrum, time, self._powers, self._bands), x.shape[3])
            return added.reshape(x.shape)


def _spectrum(x: Tensor) -> Tensor:
    """(B, rows, samples) -> (B, rows, samples // 2, 2), without frequency zero.

    Real and imaginary parts of white noise have half its variance each, so they are scaled to have all of it.
    """
    return 2**0.5 * torch.view_as_real(torch.fft.rfft(x, norm="ortho")[..., 1 : x.shape[2] // 2 + 1])


def _waveform(spectrum: Tensor, samples: int) -> Tensor:
    """Back to (B, rows, samples)."""
    padded = nn.functional.pad(torch.view_as_complex(spectrum.contiguous() / 2**0.5), (1, 0))
    back: Tensor = torch.fft.irfft(padded, n=samples, norm="ortho")
    return back


def groups(count: int, most: int) -> int:
    """The largest number of equal groups, at most `most`, that so many frequencies fall into."""
    return next(number for number in range(min(most, count), 0, -1) if count % number == 0)


def own_share(x: Tensor, t: Tensor, powers: Sequence[tuple[int, bool]], bands: int) -> Tensor:
    """The filter's x0 less that of white data, times s / t with s^2 = (1 - t)^2 + t^2.

    Args:
        x: (B, rows, frequencies, samples), where white data have unit variance.
        t: (B,), inside (0, 1).
        powers: In how many groups of frequencies there is a power, and whether every row has its own; each against
            those before it.
        bands: groups in which rows have a covariance.
    """
    t = t[:, None, None, None]
    power, solved = _solve(x, t, powers, bands)
    return _added(x, solved / power.sqrt(), t)


def _waxing_share(x: Tensor, t: Tensor, powers: Sequence[tuple[int, bool]], bands: int, samples: int) -> Tensor:
    """As `own_share`, of a spectrum, to a waveform: S at a moment is the window's times the moment's power."""

    def octave(spectrum: Tensor, frequencies: slice) -> Tensor:
        alone = torch.zeros_like(spectrum)
        alone[:, :, frequencies] = spectrum[:, :, frequencies]
        return _waveform(alone, samples)

    t = t[:, None, None, None]
    power, solved = _solve(x, t, powers, bands)
    moments = waxing(x / power.sqrt(), power, t, octave)
    unmixed = sum(
        (octave(solved / power.sqrt(), part) / now for part, now in moments), torch.zeros((), device=x.device)
    )
    return _added(_waveform(x, samples), unmixed, t[..., 0])


def _solve(x: Tensor, t: Tensor, powers: Sequence[tuple[int, bool]], bands: int) -> tuple[Tensor, Tensor]:
    """The powers (B, rows or 1, frequencies, 1), and the inverse covariance, but for their roots, times x."""
    variance = (1 - t) ** 2 + t**2
    power = torch.ones_like(t)
    for count, rows in powers:
        power = power * _power(x / power.sqrt(), t, count, rows=rows)
    y = (x / power.sqrt()).unflatten(2, (bands, -1)).transpose(1, 2).flatten(3)
    trust = _trust(t, y.shape[3], DOUBT_OF_COVARIANCE)
    identity = torch.eye(x.shape[1], device=x.device)
    covariance = trust * (y @ y.mT / y.shape[3]) + (1 - trust) * variance * identity
    solved = torch.linalg.solve(covariance, y).unflatten(3, (-1, x.shape[3])).transpose(1, 2).flatten(2, 3)
    return power, solved


def _added(x: Tensor, unmixed: Tensor, t: Tensor) -> Tensor:
    """What (I - t^2 S^-1) x / (1 - t) adds to the filter of white data, with `unmixed` = S^-1 x; times s / t."""
    variance = (1 - t) ** 2 + t**2
    filtered: Tensor = (x - t**2 * unmixed) / (1 - t)
    return (filtered - (1 - t) / variance * x) * variance.sqrt() / t


def _power(x: Tensor, t: Tensor, count: int, *, rows: bool) -> Tensor:
    """Of groups of frequencies, of all rows or of each, against white data: (B, rows or 1, frequencies, 1)."""
    parts = x.unflatten(2, (count, -1))
    axes = (3, 4) if rows else (1, 3, 4)
    mean = parts.square().mean(axes, keepdim=True).flatten(2, 3)
    trust = _trust(t, x[0].numel() // mean[0].numel(), DOUBT)
    shrunk: Tensor = trust * mean / ((1 - t) ** 2 + t**2) + 1 - trust
    return shrunk.clamp(min=QUIET).repeat_interleave(parts.shape[3], dim=2)


def _trust(t: Tensor, samples: int, doubt: float) -> Tensor:
    """Share of a statistic of so many values that is believed: less where x_t shows less of the data."""
    shown: Tensor = ((1 - t) / t) ** 2
    return 1 / (1 + 2 * doubt / samples * ((1 + shown) / shown) ** 2)
