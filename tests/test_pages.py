"""Commands and snippets on our own pages are what the commands take."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path

import click
import pytest

from sd_core.config.read import read_run
from sd_core.offers import NAMES
from sd_core.registry import discover

ROOT = Path(__file__).resolve().parent.parent
PAGES = ["README.md", "CONTRIBUTING.md", "docs/quickstart.md", "config/diffusion/README.md"]
PREFIXES = ("uv run ", ".venv/bin/")
MAKE = re.compile(r"^\.PHONY: (.*)$", re.M)


def test_every_package_of_ours_is_installed() -> None:
    """Those of core may be tested alone, the pages may not."""
    assert set(NAMES) <= {record.distribution for record in discover().plugins}


def blocks(page: str, *languages: str) -> Iterator[str]:
    """Fenced code blocks of a page in these languages."""
    for language, body in re.findall(r"^```(\w*)\n(.*?)^```", (ROOT / page).read_text("utf-8"), re.M | re.S):
        if language in languages:
            yield body


def commands(page: str) -> list[str]:
    """Command lines of a page, continued lines joined, comments and prompts taken off."""
    text = "\n".join(blocks(page, "console", "bash")).replace("\\\n", " ")
    lines = (line.removeprefix("$ ") for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def typed(line: str) -> list[str]:
    """The words of a command line."""
    for prefix in PREFIXES:
        line = line.removeprefix(prefix)
    return shlex.split(line, comments=True)


@pytest.mark.parametrize(("page", "line"), [(page, line) for page in PAGES for line in commands(page)])
def test_a_command_on_a_page_is_accepted(page: str, line: str) -> None:
    """Every `sd-...` line parses, its config exists; every make target is one."""
    program, *arguments = typed(line)
    if program == "make":
        targets = MAKE.search((ROOT / "Makefile").read_text("utf-8"))
        assert targets is not None
        assert arguments[0] in targets[1].split()
        return
    if not program.startswith("sd-"):
        assert program in ("tensorboard", "accelerate", "python"), line
        return
    (script,) = entry_points(group="console_scripts", name=program)
    command = script.load()
    assert isinstance(command, click.Command)
    _parse(command, arguments)
    assert all((ROOT / word).is_file() for word in arguments if word.endswith(".toml"))


def _parse(command: click.Command, arguments: list[str]) -> None:
    """Parse without running; raises click.UsageError for a word that is not taken."""
    command.make_context(command.name, list(arguments))
    if isinstance(command, click.Group):
        name, *rest = arguments
        _parse(command.commands[name], rest)


def test_snippets_on_pages_are_configs() -> None:
    """Each snippet is taken, alone on top of the quickstart, and sets something."""
    snippets = [snippet for page in PAGES for snippet in blocks(page, "toml")]
    assert snippets
    for snippet in snippets:
        overrides = tuple(f"{key}={value}" for key, value in flat(tomllib.loads(snippet)))
        assert overrides
        read_run(ROOT / "config/quickstart.toml", overrides, discover())


def flat(table: dict[str, object], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Dotted keys with values as TOML writes them."""
    for key, value in table.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, str(value).lower() if isinstance(value, bool) else repr(value)


def test_every_shipped_config_is_valid() -> None:
    registry = discover()
    shipped = [path for path in sorted((ROOT / "config").rglob("*.toml")) if path.name != "default.toml"]
    assert shipped
    for path in shipped:
        run = read_run(path, (), registry)
        assert run.config.training.epochs <= 200
        assert not run.notices, f"{path} warns of itself"
