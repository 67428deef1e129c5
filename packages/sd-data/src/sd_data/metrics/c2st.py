"""Classifier two-sample test: can a classifier tell generated windows from real ones?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sd_core.plugin import Score, Windows
from sd_data.metrics.features import features
from sd_data.metrics.mmd import Array, feature_vectors
from sd_data.metrics.options import C2stOptions

CLIP = 1e6
"""Features beyond this many units of anything are a collapsed model's."""


class C2st:
    """Area under the ROC curve of real against generated (Lopez-Paz and Oquab 2017), .5 being chance (EEG.md 3.6).

    On the features of `mmd`, in cross-validation that keeps the windows of a subject in one fold, so that knowing
    a person is no help: real windows have the subjects of their column, generated ones are of nobody unless
    a column says so. A side with a single subject is taken window by window. Mean over folds of gradient-boosted
    trees (`c2st`) and of logistic regression (`linear`). Below .5, where few subjects bring it, is chance too
    and given as .5. Not defined for a single window a side.
    """

    def __init__(self, options: C2stOptions) -> None:
        self.options = options
        self.scores: Mapping[str, Score] = {
            "c2st": Score("Boosted C2ST", "AUC", ideal=0.5, spatial=True),
            "linear": Score("Linear C2ST", "AUC", ideal=0.5, detail=True, spatial=True),
        }

    def __call__(self, real: Windows, generated: Windows, train: Windows) -> dict[str, float]:
        """Both areas."""
        del train
        theirs, people = _side(real, "real")
        ours, nobody = _side(generated, "generated")
        x, groups = np.concatenate([theirs, ours]), np.array([*people, *nobody])
        kind = np.repeat([0, 1], [len(theirs), len(ours)])
        folds = min(self.options.folds, *(len(set(groups[kind == side])) for side in (0, 1)))
        if folds < 2:
            return {}
        # A feature that tells all training windows apart would be the only one ever looked at, and says
        # nothing about the next person: every split chooses among a fifth of the features.
        boosted = HistGradientBoostingClassifier(
            max_iter=self.options.trees, min_samples_leaf=5, max_features=0.2, early_stopping=False, random_state=0
        )
        linear = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500))
        return {name: area(model, x, kind, groups, folds) for name, model in (("c2st", boosted), ("linear", linear))}


def area(model: Any, x: Array, kind: NDArray[np.int64], groups: NDArray[Any], folds: int) -> float:
    """Mean over folds of the area under the ROC curve of a classifier; folds with one side only are left out."""
    found = []
    for inner, outer in StratifiedGroupKFold(folds).split(x, kind, groups):
        if len(set(kind[outer])) == len(set(kind[inner])) == 2:
            guess = model.fit(x[inner], kind[inner]).predict_proba(x[outer])[:, 1]
            found.append(roc_auc_score(kind[outer], guess))
    return max(0.5, float(np.mean(found))) if found else 0.5


def _side(windows: Windows, name: str) -> tuple[Array, list[str]]:
    """Feature vectors of the windows and their groups, sorted by content: windows are a set."""
    x = np.clip(np.nan_to_num(feature_vectors(features(windows))), -CLIP, CLIP)
    order = np.lexsort(x.T)
    subjects = windows.columns.get("subject", ())
    if len({subject for subject in subjects if subject is not None}) < 2:
        return x[order], [f"{name} {rank}" for rank in range(len(x))]
    return x[order], [f"{name} {rank}" if subjects[i] is None else str(subjects[i]) for rank, i in enumerate(order)]
