"""What generated windows are good for: training a classifier that meets real ones."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from sd_core.plugin import Score, Windows
from sd_data.metrics.labels import LABELS, accuracy_of, known, reader, rows, text
from sd_data.metrics.options import UsefulnessOptions


class Usefulness:
    """Balanced accuracy on held-out real windows of a classifier trained on generated ones (EEG.md 3.8).

    Logistic regression on the features of `mmd`, for every label that generated windows carry. Train on synthetic,
    test on real (TSTR, Esteban 2017): trained on generated windows alone; its floor, the same number of real
    training windows, is TRTR. `augmented`: trained on all training windows and the generated ones; the gain
    is what it has over its floor, where real windows are added again. The other way round (TRTS) is
    `label_consistency`.
    """

    def __init__(self, options: UsefulnessOptions) -> None:
        self.options = options
        self.scores: Mapping[str, Score] = {
            key: score
            for column in LABELS
            for key, score in (
                (column, Score(f"TSTR, {column}", ideal=1.0, detail=True, column=column)),
                (f"augmented_{column}", Score(f"Real and generated, {column}", ideal=1.0, detail=True, column=column)),
            )
        }

    def __call__(self, real: Windows, generated: Windows, train: Windows) -> dict[str, float]:
        """Two accuracies for every label that has at least two values on each side."""
        found: dict[str, float] = {}
        for column in LABELS:
            alone = self._accuracy([generated], real, column)
            together = self._accuracy([train, generated], real, column)
            if alone is not None and together is not None:
                found |= {column: alone, f"augmented_{column}": together}
        return found

    def _accuracy(self, taught: list[Windows], real: Windows, column: str) -> float | None:
        labels = [known(windows, column) for windows in taught]
        if any(len(set(each.values())) < 2 for each in labels):
            return None
        x = np.concatenate([rows(windows, each) for windows, each in zip(taught, labels, strict=True)])
        y = [name for each in labels for name in text(each.values())]
        order = np.lexsort(x.T)  # windows are a set: their order decides nothing
        classifier = reader(self.options.inverse_regularisation).fit(x[order], [y[row] for row in order])
        return accuracy_of(classifier, real, column)
