"""Options of a corpus from the command line: flags and `key=value` settings, typed by its model."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError

from sd_core.plugin import Options, SdError


def read_options(corpus: str, model: type[Options], flags: Mapping[str, Any], settings: Sequence[str]) -> Options:
    """Validate what was asked for.

    Args:
        corpus: Name, for messages.
        model: Its options.
        flags: Option -> value of dedicated flags; None and False were not given.
        settings: `key=value`, the value as TOML or as plain text; these win over flags.

    Raises:
        SdError: a key is unknown or a value does not fit; all of them in one sentence.
    """
    values = {key: value for key, value in flags.items() if value not in (None, False)}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            raise SdError(f"--set {setting}: write it as key=value")
        values[key.strip()] = _value(text.strip())
    known = tuple(model.model_fields)
    problems = [_unknown(corpus, key, known) for key in values if key not in known]
    if problems:
        raise SdError("; ".join(problems))
    try:
        # JSON, because strict models take its lists for tuples.
        return model.model_validate_json(json.dumps(values))
    except ValidationError as error:
        raise SdError("; ".join(_sentence(problem) for problem in error.errors())) from error


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _unknown(corpus: str, key: str, known: Sequence[str]) -> str:
    close = get_close_matches(key, known, n=1)
    hint = f"did you mean '{close[0]}'?" if close else f"its options are: {', '.join(known)}"
    return f"corpus '{corpus}' has no option '{key}'; {hint}"


def _sentence(problem: Mapping[str, Any]) -> str:
    place = ".".join(map(str, problem["loc"]))
    message = str(problem["msg"]).removeprefix("Value error, ")
    return f"option '{place}': {message}" if place else message
