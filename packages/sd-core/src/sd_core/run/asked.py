"""What generated windows are asked to be: the labels that somebody names, the rest as train windows have them."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sd_core.errors import SdError
from sd_core.run.captions import CAPTION
from sd_core.run.randomness import Stream, words
from sd_core.run.stored import TaskCard
from sd_core.run.vocabulary import TableRow, Vocabulary
from sd_core.task import Labels
from sd_core.templates import Template

Given = Mapping[str, str]
"""Label -> value as it was typed; a label that is not there, or blank in a table, is not asked for."""
COLUMNS: Mapping[str, str] = {"class": "label"}
"""Role -> the column that generated windows carry it in, where that has another name."""


@dataclass(frozen=True)
class Asked:
    """Labels of windows to draw, as a conditioner takes them: indices, numbers, texts."""

    card: TaskCard
    reads: frozenset[str]
    """The roles that the conditioner reads; others are behind a template."""
    values: Mapping[str, Sequence[Any]]
    """Role -> one value per window."""
    count: int
    """Windows."""

    def labels(self, numbers: Tensor, device: torch.device) -> Labels:
        """Labels of the windows with these numbers."""
        labels: dict[str, Any] = {}
        for role in sorted(self.reads):
            picked = [self.values[role][number] for number in numbers.tolist()]
            if role in self.card.labels.categories:
                labels[role] = torch.tensor(picked, dtype=torch.int64, device=device)
            elif role in self.card.labels.numbers:
                labels[role] = torch.tensor(picked, dtype=torch.float32, device=device)
            else:
                labels[role] = picked
        return labels

    def columns(self) -> dict[str, list[Any]]:
        """The labels as a dataset writes them: words instead of indices, None for missing."""
        return {
            COLUMNS.get(role, role): [in_words(self.card, role, value) for value in values]
            for role, values in self.values.items()
        }


def in_words(card: TaskCard, role: str, value: Any) -> Any:
    """A label as a dataset writes it."""
    if role in card.labels.categories:
        return card.labels.categories[role][value] if value >= 0 else None
    return None if value == "" or (isinstance(value, float) and math.isnan(value)) else value


def ask(
    card: TaskCard,
    reads: frozenset[str],
    template: Template | None,
    given: Sequence[Given],
    *,
    conditioning: str,
    count: int,
    seed: int,
) -> Asked:
    """The labels of `count` windows.

    What is not asked for comes from a train window, one for each generated window, drawn at random by (seed, number)
    among those that have the categories asked for: the joint distribution of the train split, given what is asked.

    Args:
        card: What the checkpoint knows about labels.
        reads: The roles that the conditioner reads.
        template: What makes captions of other labels, where there is one.
        given: Nothing, or labels for all windows, or those of each window.
        conditioning: Name of the conditioner, for messages.
        count: Windows.
        seed: Of the drawing.

    Raises:
        SdError: the run was not trained on a label, or does not know its value.
    """
    vocabulary = Vocabulary(card.labels, reads, template, conditioning, card.unseen)
    understood = [vocabulary.read(row) for row in given] or [{}]
    if len(understood) not in (1, count):
        raise ValueError(f"{len(understood)} conditions for {count} windows")
    pools = {tuple(row.items()): _agreeing(card, row) for row in understood}
    draws = words(seed, Stream.LABELS, torch.arange(count), 1)[:, 0].tolist()
    rows = understood * count if len(understood) == 1 else understood
    picked = [
        _window(card, vocabulary, row, pool[draw % len(pool)])
        for row, draw in zip(rows, draws, strict=True)
        for pool in (pools[tuple(row.items())],)
    ]
    return Asked(card, reads, {role: [window[role] for window in picked] for role in vocabulary.roles}, count)


def _agreeing(card: TaskCard, row: Mapping[str, Any]) -> list[int]:
    """Kept train windows that have the categories asked for; all where none has."""
    examples, asked = card.label_examples, [role for role in row if role in card.labels.categories]
    kept = range(max((len(values) for values in examples.values()), default=1))
    return [index for index in kept if all(examples[role][index] == row[role] for role in asked)] or list(kept)


def _window(card: TaskCard, vocabulary: Vocabulary, row: Mapping[str, Any], example: int) -> dict[str, Any]:
    """The labels of one window: what is asked, over those of a train window."""
    if vocabulary.template is not None and CAPTION in row:  # the sentence stands for itself
        return {**vocabulary.nothing(), **row}
    window = {role: row.get(role, card.label_examples[role][example]) for role in vocabulary.roles}
    if vocabulary.template is not None and row:
        window[CAPTION] = vocabulary.template.render(
            {role: in_words(card, role, window[role]) for role in vocabulary.roles if role != CAPTION}
        )
    return window


def read_conditions(path: Path) -> list[TableRow]:
    """A table of conditions, comma-separated with a header: one row per window, blank cells are not asked for.

    Raises:
        SdError: it cannot be read, or holds no rows.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            table = csv.DictReader(file, strict=True)
            rows = [(table.line_num, row) for row in table]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SdError(f"the conditions in '{path}' cannot be read: {error}") from error
    if not rows:
        raise SdError(f"'{path}' holds no conditions: write a header such as class,age and a row for each window")
    for number, row in rows:
        if None in row or None in row.values():
            raise SdError(f"line {number} of '{path}' has another number of cells than the header")
    return [
        TableRow(
            {name.strip(): cell.strip() for name, cell in row.items() if cell.strip()}, f"line {number} of '{path}'"
        )
        for number, row in rows
    ]
