"""Where a run's captions come from: a text column, or a template over other labels."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping

from sd_core.config import sections
from sd_core.config.read import Run
from sd_core.errors import SdError
from sd_core.options import TextOptions
from sd_core.registry import nearest
from sd_core.run.network import Network
from sd_core.templates import Template
from sd_core.windows.labels import Sources
from sd_core.windows.rows import Rows

_log = logging.getLogger(__name__)
CAPTION = "caption"
"""The role that text conditioners read."""
_NAMED = 8
"""Words in a warning, at most."""


def template_of(run: Run) -> Template | None:
    """The template that makes the run's captions; None where a column holds them or none are read."""
    options = run.options["conditioners"]
    return Template(options.template) if isinstance(options, TextOptions) and options.template else None


def label_sources(run: Run, columns: Mapping[str, str], train: Rows) -> Sources:
    """Where each label comes from: the columns of `[dataset]`, and what a template adds.

    Args:
        run: the config.
        columns: Role -> column name.
        train: The train split.

    Raises:
        SdError: the conditioner reads captions and there is no column for them, or for what its template names.
    """
    template = template_of(run)
    if template is None:
        if isinstance(run.options["conditioners"], TextOptions):
            _require_text(run, columns[CAPTION], train)
        # Fields that are no role of [dataset], such as "subject", are columns under their own names.
        return {**{field: field for field in getattr(run.options["conditioners"], "fields", ())}, **columns}
    if columns[CAPTION] != sections.Dataset.model_fields["caption_column"].default:
        _log.warning("dataset.caption_column does nothing beside a [conditioning] template")
    if CAPTION in template.fields:
        raise SdError("[conditioning] template is the caption and cannot name {caption}; name the column it is made of")
    more = {field: field for field in template.fields if field not in columns}
    for field in template.fields:
        _require_field(field, {**columns, **more}[field], train, tuple(columns))
    return {**columns, **more, CAPTION: template}


def prepare_captions(network: Network, captions: Collection[str]) -> None:
    """Show a conditioner that reads captions the different ones it will meet, in an order that is always the same.

    Raises:
        SdError: some are longer than its encoder takes, or the encoder cannot be had.
    """
    prepare = getattr(network.conditioner, "prepare", None)
    if prepare is not None:
        prepare(sorted(captions))


def say_unheard(network: Network, asked: Collection[str], examples: Collection[str]) -> None:
    """Warn of words in captions to draw by that the training never met, where the encoder learns from it alone.

    Args:
        network: The trained network.
        asked: The captions.
        examples: Captions of the training, from all over it.
    """
    look = getattr(network.conditioner, "unheard", None)
    words = [] if look is None else sorted(look(sorted(asked), examples))
    if words:
        more = ", ..." if len(words) > _NAMED else ""
        _log.warning(
            "no training caption has the word%s %s%s: the model does not know %s",
            *("s" if len(words) > 1 else "", ", ".join(map(repr, words[:_NAMED])), more),
            "them" if len(words) > 1 else "it",
        )


def _require_text(run: Run, column: str, train: Rows) -> None:
    reads = f"conditioning '{run.config.model.conditioning}' reads the text column '{column}'"
    remedy = "name one with dataset.caption_column, or write a [conditioning] template"
    if column not in train.column_names:
        raise SdError(f"{reads}, which this dataset does not have; it has {_listed(train)}: {remedy}")
    if all(value is None or value == "" for value in train.column(column)):
        raise SdError(f"{reads}, which is empty in every window of the train split: {remedy}")
    if odd := next((value for value in train.column(column) if not isinstance(value, str | None)), None):
        raise SdError(f"{reads}, which holds {odd!r}, not text: {remedy}, such as 'EEG, {column} {{{column}}}'")


def _require_field(field: str, column: str, train: Rows, roles: tuple[str, ...]) -> None:
    if column in train.column_names:
        return
    guess = nearest(field, (*train.column_names, *roles))
    hint = f"; did you mean {{{guess}}}?" if guess and guess != field else ""
    where = "" if field == column else f" (the column '{column}')"
    raise SdError(
        f"[conditioning] template names {{{field}}}{where}, which this dataset does not have{hint}; "
        f"its columns are: {_listed(train)}"
    )


def _listed(train: Rows) -> str:
    return ", ".join(train.column_names) or "no labels"
