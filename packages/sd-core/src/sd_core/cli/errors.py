"""How every command tells the user what to mend."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from sd_core.errors import SdError

P = ParamSpec("P")
R = TypeVar("R")


def one_sentence(command: Callable[P, R]) -> Callable[P, R]:
    """Decorate the function under `@click.command` (or any other entry point).

    An `SdError` becomes its message on stderr and exit code 2; anything else keeps its traceback.
    A message of several lines starts on a line of its own, so that "file:line" stays clickable.
    Needs no click itself: it works under every command-line library.
    """

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except SdError as error:
            several = "\n" if "\n" in str(error) else " "
            print(f"Error:{several}{error}", file=sys.stderr)
            raise SystemExit(2) from None

    return run
