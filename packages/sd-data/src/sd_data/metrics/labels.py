"""Whether a conditional model does what it is told."""

from __future__ import annotations

from collections.abc import Mapping

from sd_core.plugin import Score, Windows
from sd_data.metrics.logistic import LogisticReader
from sd_data.metrics.options import LabelConsistencyOptions
from sd_data.metrics.readers import LABELS, accuracy, labelled

CHANCE = 0.6
"""Below this balanced accuracy, of two equally likely labels, nobody could say that they are there."""
IGNORED = "generated windows ignore the label that was asked for"


class LabelConsistency:
    """Balanced accuracy with which a classifier of real windows reads the label that was asked for.

    Logistic regression on the features of `mmd`, trained on the training windows. The floor is its
    accuracy on held-out real windows: a label that cannot be read there cannot be expected here, and
    has no score. Nor has one that has a single value in training or in the windows that are read.
    """

    def __init__(self, options: LabelConsistencyOptions) -> None:
        self.options = options
        self.scores: Mapping[str, Score] = {
            column: Score(f"Label consistency, {column}", ideal=1.0, alarm=CHANCE, alarm_means=IGNORED, column=column)
            for column in LABELS
        }

    def __call__(self, real: Windows, generated: Windows, train: Windows) -> dict[str, float]:
        """The accuracy of every label that both the training and the generated windows carry."""
        reader = LogisticReader(self.options.inverse_regularisation)
        found = {}
        for column in LABELS:
            learned, held_out, asked = (labelled(windows, column) for windows in (train, real, generated))
            if min(len(examples.classes) for examples in (learned, held_out, asked)) < 2:
                continue
            taught = reader.teach([learned], unit=1.0, seed=0)
            if accuracy(taught, held_out) >= CHANCE:
                found[column] = accuracy(taught, asked)
        return found
