"""Classifier two-sample test: can a classifier tell generated windows from real ones?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sd_core.plugin import Score, Windows
from sd_data.metrics.comparison import of_all, undefined
from sd_data.metrics.features import features
from sd_data.metrics.mmd import Array, feature_vectors
from sd_data.metrics.options import C2stOptions

if TYPE_CHECKING:
    from sd_core.protocols import Rows, Scorer

CLIP = 1e6
"""Features beyond this many units of anything are a collapsed model's."""

LEAF = 5
"""Windows in a leaf of a tree, at least: fewer than two leaves' make no tree, and an area of .5 for any generator."""

SLACK = 0.02
"""Areas within this of each other are one: a floor of exactly .5 is common."""


class C2st:
    """Area under the ROC curve of real against generated (Lopez-Paz and Oquab 2017), .5 being chance (EEG.md 3.6).

    On the features of `mmd`, in cross-validation that keeps the windows of a subject in one fold, so that knowing
    a person is no help: real windows have the subjects of their column, generated ones are of nobody unless
    a column says so. A side with a single subject is taken window by window. Mean over folds of gradient-boosted
    trees (`c2st`) and of logistic regression (`linear`). Below .5, where few subjects bring it, is chance too
    and given as .5. Not defined for a single window a side, nor for fewer than trees can split.
    """

    def __init__(self, options: C2stOptions) -> None:
        self.options = options
        self.scores: Mapping[str, Score] = {
            "c2st": Score(
                "Boosted C2ST",
                "AUC",
                ideal=0.5,
                spatial=True,
                slack=SLACK,
                limits=(0.0, 1.0),
                undefined=f"the trees need {2 * LEAF} windows to learn from",
            ),
            "linear": Score("Linear C2ST", "AUC", ideal=0.5, detail=True, spatial=True, slack=SLACK, limits=(0.0, 1.0)),
        }

    def __call__(self, real: Windows, generated: Windows, train: Windows) -> dict[str, float]:
        """Both areas."""
        return of_all(self.scorer(real, generated, train), real, generated)

    def scorer(self, real: Windows, generated: Windows, train: Windows) -> Scorer:
        """Classifies every window once, by classifiers that have not seen it; asked for fewer, it leaves others out.

        So intervals are about who is told apart, not about teaching the classifiers again.
        """
        del train
        theirs, ours = _Side.of(real, "real"), _Side.of(generated, "generated")
        x, groups = np.concatenate([theirs.x, ours.x]), np.array([*theirs.groups, *ours.groups])
        kind = np.repeat([0, 1], [len(theirs.x), len(ours.x)])
        folds = min(self.options.folds, *(len(set(groups[kind == side])) for side in (0, 1)))
        if folds < 2:
            return undefined
        # A feature that tells all training windows apart would be the only one ever looked at, and says
        # nothing about the next person: every split chooses among a fifth of the features.
        boosted = HistGradientBoostingClassifier(
            max_iter=self.options.trees, min_samples_leaf=LEAF, max_features=0.2, early_stopping=False, random_state=0
        )
        linear = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500))
        models = {"c2st": boosted, "linear": linear} if _trees_grow(x, kind, groups, folds) else {"linear": linear}
        guessed = {name: guesses(model, x, kind, groups, folds) for name, model in models.items()}

        def score(held_out: Rows, made: Rows) -> dict[str, float]:
            asked = np.zeros(len(x), dtype=bool)
            asked[theirs.place[held_out]] = True
            asked[len(theirs.x) + ours.place[made]] = True
            return {name: area(found, kind, asked) for name, found in guessed.items()}

        return score


Guesses = Sequence[tuple[NDArray[np.int64], Array]]
"""Per fold of a cross-validation: the rows left out, and how likely each of them is of kind 1."""


def _trees_grow(x: Array, kind: NDArray[np.int64], groups: NDArray[Any], folds: int) -> bool:
    """Whether every fold leaves enough windows for a tree of two leaves."""
    return all(len(inner) >= 2 * LEAF for inner, _ in StratifiedGroupKFold(folds).split(x, kind, groups))


def guesses(model: Any, x: Array, kind: NDArray[np.int64], groups: NDArray[Any], folds: int) -> Guesses:
    """What a classifier of kinds says of the rows that it has not seen; folds with one kind only are left out."""
    return [
        (outer, model.fit(x[inner], kind[inner]).predict_proba(x[outer])[:, 1])
        for inner, outer in StratifiedGroupKFold(folds).split(x, kind, groups)
        if len(set(kind[outer])) == len(set(kind[inner])) == 2
    ]


def area(guessed: Guesses, kind: NDArray[np.int64], asked: NDArray[np.bool_]) -> float:
    """Mean over folds of the area under the ROC curve of the rows asked for, .5 at least."""
    found = []
    for outer, guess in guessed:
        ones, inside = kind[outer] == 1, asked[outer]
        positive, negative = guess[ones & inside], guess[~ones & inside]
        if len(positive) and len(negative):
            ranks = rankdata(np.concatenate([positive, negative]))[: len(positive)]
            won = ranks.sum() - len(positive) * (len(positive) + 1) / 2  # Mann and Whitney 1947
            found.append(won / (len(positive) * len(negative)))
    return max(0.5, float(np.mean(found))) if found else 0.5


@dataclass(frozen=True)
class _Side:
    """Feature vectors of some windows, sorted by content: windows are a set."""

    x: Array
    groups: Sequence[str]
    place: NDArray[np.int64]
    """Of every window among the sorted ones."""

    @classmethod
    def of(cls, windows: Windows, name: str) -> _Side:
        """A side with a single subject, or none, is taken window by window."""
        x = np.clip(np.nan_to_num(feature_vectors(features(windows))), -CLIP, CLIP)
        order = np.lexsort(x.T)
        persons, known = windows.persons, len(windows.people) > 1
        groups = [
            str(persons[row]) if known and persons[row] is not None else f"{name} {rank}"
            for rank, row in enumerate(order)
        ]
        return cls(x[order], groups, np.argsort(order))
