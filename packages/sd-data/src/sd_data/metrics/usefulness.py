"""What generated windows are good for: training a classifier that meets real ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from sd_core.plugin import Score, Windows
from sd_data.metrics.features import features
from sd_data.metrics.logistic import LogisticReader
from sd_data.metrics.options import UsefulnessOptions
from sd_data.metrics.readers import LABELS, Examples, Reader, Taught, accuracy, area, labelled

_MOST_KEPT = 32
"""Lessons remembered: those of the training windows come up again with every candidate."""


class Usefulness:
    """A classifier taught by some windows and tested on others (EEG.md 3.8), for every label that was asked for.

    Always tested on windows that it has not seen, held-out ones of people who are not in training; balanced
    accuracy, where .5 is chance for two classes. Named by what it was taught and tested on (Esteban 2017):

    - `COLUMN`: TSTR, taught by generated windows alone, tested on held-out real ones; `auc_COLUMN` its AUROC.
      The floor, as many training windows instead, is TRTR with that number.
    - `trtr_COLUMN`: taught by all training windows, tested on held-out ones: what real data alone achieve.
    - `trts_COLUMN`: the same, tested on generated windows that are no copies of what taught it.
    - `gain_COLUMN`: augmentation gain, TRTR after adding the generated windows minus TRTR before. Both sources
      weigh the same, however many windows each has; training windows added again gain nothing: the floor.
    - `spread_COLUMN`, `gain_spread_COLUMN`: standard deviation of TSTR and of the gain over seeds, for a
      classifier that starts from chance.

    A label has no score where training, generated or held-out windows know one value of it only.
    """

    def __init__(self, reader: Reader, title: str = "") -> None:
        self.reader = reader
        self._lessons: dict[object, Taught] = {}
        self.scores: Mapping[str, Score] = {
            key: score for column in LABELS for key, score in _rows(column, title, spread=reader.seeds > 1).items()
        }

    def __call__(self, real: Windows, generated: Windows, train: Windows) -> dict[str, float]:
        """The numbers of every label that has at least two values on each side."""
        found: dict[str, float] = {}
        for column in LABELS:
            known, made, held_out = (labelled(windows, column) for windows in (train, generated, real))
            held_out = held_out.strangers_to(train)
            if min(len(examples.classes) for examples in (known, made, held_out)) < 2:
                continue
            if self.reader.can_read(real.info):
                unit = float(np.median(features(train).deviation))
                runs = [self._run(known, made, held_out, unit, seed) for seed in range(self.reader.seeds)]
                found |= {f"{key}{column}": value for key, value in _summary(runs).items()}
        return found

    def _run(self, known: Examples, made: Examples, held_out: Examples, unit: float, seed: int) -> dict[str, float]:
        """One seed: key without the column -> value."""
        fresh = made.without(known)
        alone, synthetic = (self._lesson([source], unit, seed) for source in (known, made))
        both = self._lesson([known, fresh] if len(fresh.classes) > 1 else [known], unit, seed)
        trtr = accuracy(alone, held_out)
        found = {
            "": accuracy(synthetic, held_out),
            "auc_": area(synthetic, held_out),
            "trtr_": trtr,
            "gain_": accuracy(both, held_out) - trtr,
        }
        return found | ({"trts_": accuracy(alone, fresh)} if len(fresh.classes) > 1 else {})

    def _lesson(self, sources: Sequence[Examples], unit: float, seed: int) -> Taught:
        """A reader taught by these examples, the same one when they come again."""
        key = (*(tuple(zip(source.keys, source.labels, strict=True)) for source in sources), unit, seed)
        if key not in self._lessons:
            while len(self._lessons) >= _MOST_KEPT:
                del self._lessons[next(iter(self._lessons))]
            self._lessons[key] = self.reader.teach(sources, unit, seed)
        return self._lessons[key]


def usefulness(options: UsefulnessOptions) -> Usefulness:
    """By logistic regression on the features of `mmd`: cheap, and blind to what they leave out."""
    return Usefulness(LogisticReader(options.inverse_regularisation))


def _rows(column: str, title: str, *, spread: bool) -> dict[str, Score]:
    """How to read the numbers of one label."""

    def score(name: str, ideal: float = 1.0) -> Score:
        words = f"{title} {name}" if title else name
        return Score(f"{words}, {column}", ideal=ideal, detail=True, column=column)

    rows = {
        column: score("TSTR"),
        f"auc_{column}": score("TSTR AUROC"),
        f"trtr_{column}": score("TRTR"),
        f"trts_{column}": score("TRTS"),
        f"gain_{column}": score("augmentation gain" if title else "Augmentation gain"),
    }
    if spread:
        rows[f"spread_{column}"] = score("TSTR, spread over seeds", ideal=0.0)
        rows[f"gain_spread_{column}"] = score("gain, spread over seeds", ideal=0.0)
    return rows


def _summary(runs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Means over seeds, and how TSTR and the gain spread."""
    found = {key: float(np.mean([run[key] for run in runs])) for key in runs[0]}
    if len(runs) > 1:
        for key, name in (("", "spread_"), ("gain_", "gain_spread_")):
            found[name] = float(np.std([run[key] for run in runs], ddof=1))
    return found
