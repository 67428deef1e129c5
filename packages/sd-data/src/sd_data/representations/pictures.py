"""Pictures for people: a colour map, a mosaic of spectrograms, a page of waveforms. No plotting library."""

from __future__ import annotations

import math

import torch
from torch import Tensor

# Lightness L* rises linearly from 6 to 96 while the hue turns from blue over red to yellow (computed in
# OKLCh), so equal steps look equal and a grey print keeps their order.
_ANCHORS = "11131d1f1745381762551576731181920e82b0117dca1f73e03465f04d55fa6848fe8345fd9e51f8b86cf3cf8ff0e3b8f5f4e5"
_INKS = ((0.10, 0.12, 0.35), (0.45, 0.10, 0.20))
"""Dark blue and dark red in turn, so that neighbouring traces can be told apart."""

GAP = 2
"""Pixels between the tiles of a mosaic."""
PITCH = 16
"""Pixels from one trace to the next."""
PAGE = 768
"""Samples on a page of waveforms, one pixel each: 6 s at 125 Hz, where a 10 Hz wave is 12 pixels long."""
UNIT = 4.0
"""Pixels of one standard deviation."""
REACH = 2
"""Pitches that a trace may stray from its line."""


def colour(value: Tensor) -> Tensor:
    """(..., H, W) with 0 lowest and 1 highest -> (..., 3, H, W) in [0, 1]; what lies beyond takes the end colours."""
    table = torch.tensor(list(bytes.fromhex(_ANCHORS)), device=value.device, dtype=torch.float32).reshape(-1, 3) / 255
    place = value.float().clamp(0, 1) * (len(table) - 1)
    below = place.long().clamp(max=len(table) - 2)
    share = (place - below).unsqueeze(-1)
    return (table[below] * (1 - share) + table[below + 1] * share).movedim(-1, -3)


def mosaic(tiles: Tensor) -> Tensor:
    """(B, n, 3, h, w) -> (B, 3, H, W): n tiles in rows on a near-square white sheet, in order; one stays as it is."""
    batch, count, _, height, width = tiles.shape
    columns = math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    sheet = tiles.new_ones(batch, rows * columns, 3, height + GAP, width + GAP)
    sheet[:, :count, :, :height, :width] = tiles
    sheet = sheet.reshape(batch, rows, columns, *sheet.shape[2:]).permute(0, 3, 1, 4, 2, 5)
    return sheet.reshape(batch, 3, rows * (height + GAP), columns * (width + GAP))[..., :-GAP, :-GAP]


def draw_traces(traces: Tensor, sfreq: float) -> Tensor:
    """Waveforms (B, channels, samples) in standard deviations -> (B, 3, H, W), positive up, a line every second.

    Shows the first `PAGE` samples at one pixel each; shorter windows are stretched.
    """
    page = traces.float()[..., :PAGE]
    seconds = page.shape[-1] / sfreq
    if page.shape[-1] < PAGE:
        page = torch.nn.functional.interpolate(page, PAGE, mode="linear", align_corners=True)
    batch, channels, _ = page.shape
    margin = REACH * PITCH
    sheet = page.new_ones(batch, 3, (channels + 2 * REACH) * PITCH, PAGE)
    for second in range(1, math.ceil(seconds)):
        sheet[..., round(second / seconds * PAGE)] = 0.85
    rows = torch.arange((2 * REACH + 1) * PITCH, device=page.device)[:, None]
    for channel in range(channels):
        middle = margin + PITCH / 2
        y = middle - (page[:, channel] * UNIT).clamp(-margin, margin)
        ink = _coverage(y, rows).unsqueeze(1)
        band = sheet[:, :, channel * PITCH : channel * PITCH + len(rows)]
        paint = torch.tensor(_INKS[channel % 2], device=page.device).reshape(3, 1, 1)
        band.copy_(band * (1 - ink) + paint * ink)
    edge = margin - PITCH
    return sheet[:, :, edge:-edge]


def _coverage(y: Tensor, rows: Tensor) -> Tensor:
    """Height of a line (B, W) -> its share of each pixel (B, rows, W): columns are joined, edges are soft."""
    following = torch.cat([y[:, 1:], y[:, -1:]], dim=-1)
    top, bottom = torch.minimum(y, following).unsqueeze(1), torch.maximum(y, following).unsqueeze(1)
    outside = torch.maximum(top - rows, rows - bottom).clamp(min=0)
    return (1 - outside).clamp(min=0)
