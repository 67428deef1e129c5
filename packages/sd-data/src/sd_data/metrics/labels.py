"""Whether a conditional model does what it is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from sd_core.plugin import Score, Windows
from sd_data.metrics.features import features
from sd_data.metrics.mmd import feature_vectors
from sd_data.metrics.options import LabelConsistencyOptions

LABELS = ("label", "state", "gender", "health")
"""Columns with a few values each."""
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
        found = {}
        for column in LABELS:
            learned = known(train, column)
            if len(set(learned.values())) < 2:
                continue
            classifier = reader(self.options.inverse_regularisation).fit(rows(train, learned), text(learned.values()))
            readable, accuracy = (accuracy_of(classifier, windows, column) for windows in (real, generated))
            if readable is not None and readable >= CHANCE and accuracy is not None:
                found[column] = accuracy
        return found


def reader(inverse_regularisation: float) -> Pipeline:
    """A classifier of labels from feature vectors: logistic regression, every class weighing the same."""
    regression = LogisticRegression(C=inverse_regularisation, class_weight="balanced", max_iter=2000)
    return make_pipeline(StandardScaler(), regression)


def accuracy_of(classifier: Pipeline, windows: Windows, column: str) -> float | None:
    """Balanced accuracy on the windows that carry the label; None where it has fewer than two values."""
    asked = known(windows, column)
    if len(set(asked.values())) < 2:
        return None
    return float(balanced_accuracy_score(text(asked.values()), classifier.predict(rows(windows, asked))))


def known(windows: Windows, column: str) -> dict[int, Any]:
    """The label of every window that has one."""
    values: Sequence[Any] = windows.columns.get(column, ())
    return {row: value for row, value in enumerate(values) if value is not None}


def rows(windows: Windows, labels: Mapping[int, Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Feature vectors of the windows that carry a label."""
    return feature_vectors(features(windows))[list(labels)]


def text(values: Any) -> list[str]:
    """Labels as a classifier takes them."""
    return [str(value) for value in values]
