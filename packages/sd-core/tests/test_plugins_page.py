"""docs/plugins.md does what it says: its files make a package, its config names it, its tests pass."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from sd_core.cli.plugins import main
from sd_core.config.read import read_run
from sd_core.registry import Registry, discover

Install = Callable[..., Path]

PAGE = Path(__file__).parents[3] / "docs" / "plugins.md"


def files() -> dict[str, str]:
    """Code blocks of the page by the file name in their first line."""
    blocks = re.findall(r"```\w+\n# (\S+)\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    return dict(blocks)


@pytest.fixture
def wave(install: Install) -> Path:
    """The page's package, installed."""
    modules = {Path(name).stem: text for name, text in files().items() if name.startswith("acme_wave/")}
    return install("acme-wave", modules.pop("plugin"), **modules)


def test_the_entry_point_is_the_one_that_core_reads() -> None:
    assert '[project.entry-points."signal_diffusion.v1"]\nacme-wave = "acme_wave.plugin"' in files()["pyproject.toml"]


def test_a_config_names_the_network(wave: Path, toys: Registry, tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text(files()["run.toml"])
    registry = Registry((*toys.plugins, *(plugin for plugin in discover().plugins if plugin.name == "acme-wave")))
    run = read_run(tmp_path / "run.toml", (), registry)
    assert run.options["architectures"].model_dump() == {"layers": 6, "width": 32}
    assert "Number of residual convolutions" in CliRunner().invoke(main, ["wave"]).output


def test_the_tests_of_the_page_pass(wave: Path) -> None:
    page = wave / "test_wave.py"
    page.write_text(files()["tests/test_wave.py"])
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-k",
        "not compile",
        "--rootdir",
        str(wave),
        str(page),
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=wave, env={**os.environ, "PYTHONPATH": str(wave)}
    )
    assert done.returncode == 0, done.stdout
    assert re.search(r"\d{2} passed", done.stdout)


def test_every_contract_on_the_page_exists() -> None:
    named = re.findall(r"`(sd_core\.testing\.\w+)\.(\w+)`", PAGE.read_text(encoding="utf-8"))
    assert len(named) > 5
    assert [name for module, name in named if not hasattr(importlib.import_module(module), name)] == []
