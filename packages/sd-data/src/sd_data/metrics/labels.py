"""Whether a conditional model does what it is told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from sd_core.plugin import Score, Windows
from sd_data.metrics.comparison import of_all
from sd_data.metrics.logistic import LogisticReader
from sd_data.metrics.options import LabelConsistencyOptions
from sd_data.metrics.readers import LABELS, labelled, read

if TYPE_CHECKING:
    from sd_core.protocols import Rows, Scorer

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
            column: Score(
                f"Label consistency, {column}",
                ideal=1.0,
                alarm=CHANCE,
                alarm_means=IGNORED,
                column=column,
                limits=(0.0, 1.0),
                undefined="a classifier does not read it from held-out windows either, or it has one value only",
            )
            for column in LABELS
        }

    def __call__(self, real: Windows, generated: Windows, train: Windows) -> dict[str, float]:
        """The accuracy of every label that both the training and the generated windows carry."""
        return of_all(self.scorer(real, generated, train), real, generated)

    def scorer(self, real: Windows, generated: Windows, train: Windows) -> Scorer:
        """The classifier reads all windows once; which labels can be read is decided on all held-out ones."""
        reader = LogisticReader(self.options.inverse_regularisation)
        answers = {}
        for column in LABELS:
            learned, held_out, asked = (labelled(windows, column) for windows in (train, real, generated))
            if min(len(examples.classes) for examples in (learned, held_out, asked)) > 1:
                taught = reader.teach([learned], unit=1.0, seed=0)
                if read(taught, held_out).accuracy() >= CHANCE:
                    answers[column] = read(taught, asked)

        def score(held_out: Rows, made: Rows) -> dict[str, float]:
            del held_out
            some = {column: said.of(made) for column, said in answers.items()}
            return {column: said.accuracy() for column, said in some.items() if said.several}

        return score
