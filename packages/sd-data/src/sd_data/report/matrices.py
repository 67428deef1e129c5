"""How electrodes vary together: mean covariance and correlation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from sd_core.plugin import Windows
from sd_data.metrics.features import features
from sd_data.report.figures import in_print
from sd_data.report.layout import Drawn, grid, section
from sd_data.report.svg import figure

Array = NDArray[np.float64]
PANELS = ("Held-out real", "Generated", "Difference")


def matrices(windows: Mapping[str, Windows]) -> str:
    """The section; nothing for a single electrode."""
    info = windows["real"].info
    names, unit = info.channel_names, in_print(info).strip()
    if len(names) < 2:
        return ""
    covariance = [features(windows[role]).covariance.mean(0) for role in ("real", "generated")]
    correlation = [features(windows[role]).correlation.mean(0) for role in ("real", "generated")]
    # The largest variances are those of a few frontal electrodes: they would leave the rest in one shade.
    furthest = max(float(np.percentile(np.abs(covariance[0]), 97)), 1e-6)
    drawn = [
        *_panels("Covariance", covariance, names, (furthest, furthest / 2), f"{unit}²" if unit else ""),
        *_panels("Correlation", correlation, names, (1.0, 0.5), ""),
    ]
    note = (
        "Means over windows. Real and generated share a colour scale; that of the difference, generated minus real, "
        "spans half of it."
    )
    return section("Covariance and correlation", note, grid(drawn, "triples"))


def _panels(what: str, pair: Sequence[Array], names: Sequence[str], furthest: tuple[float, float], unit: str) -> Drawn:
    real, generated = pair
    shown = zip((real, generated, generated - real), PANELS, (furthest[0], furthest[0], furthest[1]), strict=True)
    return [
        (_matrix(values, names, f"{what}: {title.lower()}", limit, unit), f"{what} matrix, {title.lower()}")
        for values, title, limit in shown
    ]


def _matrix(values: Array, names: Sequence[str], title: str, limit: float, unit: str) -> Figure:
    drawn = figure(4.2, 4.5)
    axes = drawn.subplots()
    image = axes.imshow(values, cmap="cividis", clim=(-limit, limit))
    ticks = np.unique(np.linspace(0, len(names) - 1, min(len(names), 20)).round().astype(int)).tolist()
    axes.set_xticks(ticks, [names[i] for i in ticks], rotation=90, parse_math=False)
    axes.set_yticks(ticks, [names[i] for i in ticks], parse_math=False)
    axes.tick_params(labelsize=8, length=0)
    axes.set_title(title)
    axes.spines[:].set_visible(False)
    bar = drawn.colorbar(image, ax=axes, orientation="horizontal", aspect=30, pad=0.02, shrink=0.9)
    bar.set_label(unit or " ")
    bar.outline.set_visible(False)
    return drawn
