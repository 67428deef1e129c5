"""What others reached, by set: as published, not measured again here."""

from __future__ import annotations

from collections.abc import Mapping

Row = Mapping[str, float]
"""Set -> mean of a score."""

SETS = ("sines", "stocks", "etth")


def _row(*values: float) -> Row:
    return dict(zip(SETS, values, strict=True))


PUBLISHED: Mapping[str, Mapping[str, Row]] = {
    "discriminative": {
        "TimeGAN": _row(0.011, 0.102, 0.114),
        "Diffusion-TS": _row(0.006, 0.067, 0.061),
        "FM-TS": _row(0.005, 0.019, 0.011),
    },
    "correlational": {"Diffusion-TS": _row(0.015, 0.004, 0.049)},
    "predictive": {"Diffusion-TS": _row(0.093, 0.036, 0.119), "original data": _row(0.094, 0.036, 0.121)},
}
"""Score -> method -> set; EEG.md 4. All are better when lower."""

GOALS: Mapping[str, Mapping[str, float]] = {"discriminative": {"stocks": 0.067, "etth": 0.061}}
STRETCH: Mapping[str, Mapping[str, float]] = {"discriminative": {"stocks": 0.019, "etth": 0.011}}
