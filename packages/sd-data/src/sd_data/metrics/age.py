"""Whether generated windows show the age that was asked for, and teach it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sd_core.plugin import Score, Windows
from sd_data.metrics.comparison import of_all
from sd_data.metrics.logistic import vectors
from sd_data.metrics.options import AgeOptions
from sd_data.metrics.readers import Examples, labelled

if TYPE_CHECKING:
    from sd_core.protocols import Rows, Scorer

Array = NDArray[np.float64]

COLUMN = "age"


class Age:
    """Mean absolute errors, in years, of a ridge regression of age on the features of `mmd` (EEG.md 3.8).

    Three that belong together, of a regression taught by training windows:

    - `age`: generated windows against the age that was asked for; copies of training windows are left out.
    - `held_out`: real windows of people who are not in training. Age cannot be read better from generated
      ones than from these, but for ages that are drawn to the mean.
    - `guess`: of saying the mean age of training, for the held-out people. Where `held_out` is not below it, age
      cannot be read from these recordings, and `age` says nothing.

    And `tstr`: held-out windows, by a regression that was taught by generated windows. Its floor is TRTR
    with that number of training windows.

    Not defined where training or generated windows are of one age, or held-out windows have none.
    """

    def __init__(self, options: AgeOptions) -> None:
        self.options = options
        titles = {
            "age": "Age read from generated windows, mean error",
            "held_out": "Age read from held-out windows, mean error",
            "guess": "Mean age guessed for held-out windows, mean error",
            "tstr": "TSTR, age, mean error",
        }
        self.scores: Mapping[str, Score] = {
            key: Score(title, "years", detail=True, column=COLUMN) for key, title in titles.items()
        }

    def __call__(self, real: Windows, generated: Windows, train: Windows) -> dict[str, float]:
        """The errors that are defined."""
        return of_all(self.scorer(real, generated, train), real, generated)

    def scorer(self, real: Windows, generated: Windows, train: Windows) -> Scorer:
        """Teaches once with all windows; some windows are then read."""
        known, made, held_out = (labelled(windows, COLUMN) for windows in (train, generated, real))
        held_out = held_out.strangers_to(train)
        if min(len(known.classes), len(made.classes), 2 * len(held_out)) < 2:
            return lambda *_: {}
        fresh, mean = made.without(known), _years(known).mean()
        errors = {
            "held_out": self._error(known, held_out),
            "guess": _Errors(held_out.rows, np.abs(_years(held_out) - mean)),
            "tstr": self._error(made, held_out),
        }
        read = self._error(known, fresh)

        def score(held_out: Rows, made: Rows) -> dict[str, float]:
            found = {key: each.mean(held_out) for key, each in errors.items()} | {"age": read.mean(made)}
            return {key: value for key, value in found.items() if value is not None}

        return score

    def _error(self, taught: Examples, asked: Examples) -> _Errors:
        """How far the ages read from the asked are from theirs."""
        if not len(asked):
            return _Errors((), np.zeros(0))
        model = make_pipeline(StandardScaler(), Ridge(self.options.regularisation))
        model.fit(vectors(taught.windows, taught.rows), _years(taught))
        said = model.predict(vectors(asked.windows, asked.rows))
        return _Errors(asked.rows, np.abs(said - _years(asked)))


@dataclass(frozen=True)
class _Errors:
    """In years, of the windows at these rows."""

    rows: tuple[int, ...]
    years: Array

    def mean(self, rows: Rows) -> float | None:
        """Over some of the windows; None where it is of none of them."""
        kept = self.years[np.isin(self.rows, rows)]
        return float(kept.mean()) if len(kept) else None


def _years(examples: Examples) -> Array:
    return np.asarray([float(label) for label in examples.labels])
