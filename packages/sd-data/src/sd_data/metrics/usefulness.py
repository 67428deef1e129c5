"""What generated windows are good for: training a classifier that meets real ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from sd_core.plugin import Score, Windows
from sd_data.metrics.comparison import of_all
from sd_data.metrics.features import features
from sd_data.metrics.logistic import LogisticReader
from sd_data.metrics.options import UsefulnessOptions
from sd_data.metrics.readers import LABELS, Answers, Examples, Identity, Reader, Taught, labelled, read

if TYPE_CHECKING:
    from sd_core.protocols import Rows, Scorer

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

    def __init__(self, reader: Reader, title: str = "", *, slow: bool = False) -> None:
        self.reader = reader
        self.slow = slow
        self._lessons: dict[object, _Lesson] = {}
        self.scores: Mapping[str, Score] = {
            key: score for column in LABELS for key, score in _rows(column, title, spread=reader.seeds > 1).items()
        }

    def __call__(self, real: Windows, generated: Windows, train: Windows) -> dict[str, float]:
        """The numbers of every label that has at least two values on each side."""
        return of_all(self.scorer(real, generated, train), real, generated)

    def scorer(self, real: Windows, generated: Windows, train: Windows) -> Scorer:
        """Teaches once with all windows; some windows are then tested.

        So an interval is about whom is tested, not about teaching again: that is what the spread over seeds is for.
        """
        runs = {
            column: runs
            for column in LABELS
            if (runs := self._runs(*(labelled(windows, column) for windows in (train, generated, real))))
        }
        return lambda held_out, made: {
            f"{key}{column}": value
            for column, seeds in runs.items()
            for key, value in _summary([run(held_out, made) for run in seeds]).items()
        }

    def _runs(self, known: Examples, made: Examples, held_out: Examples) -> list[_Run]:
        """One for each seed; none where a side knows fewer than two classes or windows are too short."""
        held_out = held_out.strangers_to(known.windows)
        if min(len(examples.classes) for examples in (known, made, held_out)) < 2:
            return []
        if not self.reader.can_read(known.windows.info):
            return []
        unit = float(np.median(features(known.windows).deviation))
        return [self._run(known, made, held_out, unit, seed) for seed in range(self.reader.seeds)]

    def _run(self, known: Examples, made: Examples, held_out: Examples, unit: float, seed: int) -> _Run:
        fresh = made.without(known)
        both = [known, fresh] if len(fresh.classes) > 1 else [known]
        return _Run(
            tstr=self._answers([made], held_out, unit, seed),
            trtr=self._answers([known], held_out, unit, seed),
            augmented=self._answers(both, held_out, unit, seed),
            trts=self._answers([known], fresh, unit, seed),
        )

    def _answers(self, taught: Sequence[Examples], asked: Examples, unit: float, seed: int) -> Answers:
        """What a reader taught by some examples says of others, worked out once."""
        lesson = (*(source.identity for source in taught), unit, seed)
        if lesson not in self._lessons:
            while len(self._lessons) >= _MOST_KEPT:
                del self._lessons[next(iter(self._lessons))]
            self._lessons[lesson] = _Lesson(self.reader.teach(taught, unit, seed), {})
        self._lessons[lesson] = self._lessons.pop(lesson)  # the last that was asked is the last to go
        reader, answers = self._lessons[lesson].taught, self._lessons[lesson].answers
        if asked.identity not in answers:
            answers[asked.identity] = read(reader, asked)
        # The rows are those of the windows at hand, which may be others of the same content in another order.
        return replace(answers[asked.identity], rows=np.asarray(asked.rows, dtype=np.int64))


@dataclass(frozen=True)
class _Lesson:
    """A reader that was taught, and what it said so far."""

    taught: Taught
    answers: dict[Identity, Answers]


@dataclass(frozen=True)
class _Run:
    """What readers of one seed said of the windows that they were tested on."""

    tstr: Answers
    trtr: Answers
    augmented: Answers
    trts: Answers

    def __call__(self, held_out: Rows, made: Rows) -> dict[str, float]:
        """Key without the column -> the score of these windows; nothing where they have fewer than two classes."""
        tstr, trtr, augmented = (answers.of(held_out) for answers in (self.tstr, self.trtr, self.augmented))
        trts = self.trts.of(made)
        found = {"trts_": trts.accuracy()} if trts.several else {}
        if tstr.several:
            found |= {"": tstr.accuracy(), "auc_": tstr.area(), "trtr_": trtr.accuracy()}
            found["gain_"] = augmented.accuracy() - trtr.accuracy()
        return found


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
            if key in found:
                found[name] = float(np.std([run[key] for run in runs], ddof=1))
    return found
