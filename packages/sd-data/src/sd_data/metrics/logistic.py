"""The cheap reader: logistic regression on the features of `mmd`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from sd_core.plugin import SignalInfo, Windows
from sd_data.metrics.features import features
from sd_data.metrics.mmd import feature_vectors
from sd_data.metrics.readers import Array, Examples, Taught


@dataclass(frozen=True)
class LogisticReader:
    """Logistic regression on standardised features; seconds for a thousand windows, no chance in it."""

    inverse_regularisation: float
    seeds: int = 1

    def can_read(self, info: SignalInfo) -> bool:
        """Features are defined for windows of any length."""
        del info
        return True

    def teach(self, sources: Sequence[Examples], unit: float, seed: int) -> Taught:
        """Examples weigh so that sources are equal, and in each its classes."""
        del unit, seed
        model = make_pipeline(StandardScaler(), LogisticRegression(C=self.inverse_regularisation, max_iter=2000))
        x = np.concatenate([vectors(source.windows, source.rows) for source in sources])
        labels = np.concatenate([np.asarray(source.labels) for source in sources])
        weights = np.concatenate([_weights(source) for source in sources])
        model.fit(x, labels, logisticregression__sample_weight=weights * len(x) / weights.sum())
        return _Taught(model, tuple(str(name) for name in model.classes_))


def vectors(windows: Windows, rows: Sequence[int]) -> Array:
    """Feature vectors of some windows: (len(rows), features)."""
    return feature_vectors(features(windows))[list(rows)]


@dataclass(frozen=True)
class _Taught:
    model: Pipeline
    classes: tuple[str, ...]

    def __call__(self, windows: Windows, rows: Sequence[int]) -> Array:
        return np.asarray(self.model.predict_proba(vectors(windows, rows)))


def _weights(source: Examples) -> Array:
    """One over the windows of the same class, so that every class of every source weighs 1."""
    labels = np.asarray(source.labels)
    return np.asarray([1 / (labels == label).sum() for label in labels])
