"""The workspace holds together: pins, mirrors, contracts, make targets."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
DOORS = {"plugin", "protocols", "nn", "testing"}
DATA_DOORS = DOORS | {"windows", "registry", "cli"}


def table(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text(encoding="utf-8"))


def requirements(lines: list[str]) -> list[Requirement]:
    return [Requirement(line) for line in lines]


def pinned() -> dict[str, Requirement]:
    lines = (line.split("#")[0].strip() for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines())
    return {canonicalize_name((r := Requirement(line)).name): r for line in lines if line}


MEMBERS = {path.parent.name: table(path) for path in sorted(ROOT.glob("packages/*/pyproject.toml"))}
PINS = pinned()


def test_pins_are_exact_and_name_no_build() -> None:
    for requirement in PINS.values():
        assert re.fullmatch(r"==[0-9][0-9a-z.]*", str(requirement.specifier)), requirement


@pytest.mark.parametrize("script", ["constraints.py", "config_summary.py"])
def test_what_is_generated_is_fresh(script: str) -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / script, "--check"], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_a_changed_pin_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir()
    for name in ("constraints.txt", "pyproject.toml", "scripts/constraints.py"):
        (tmp_path / name).write_text((ROOT / name).read_text("utf-8"), encoding="utf-8")
    pins = tmp_path / "constraints.txt"
    pins.write_text(pins.read_text("utf-8").replace("click==", "click==9."), encoding="utf-8")
    script = [sys.executable, str(tmp_path / "scripts/constraints.py")]
    assert subprocess.run([*script, "--check"], check=False, capture_output=True).returncode == 1
    subprocess.run(script, check=True)
    assert subprocess.run([*script, "--check"], check=False).returncode == 0


@pytest.mark.parametrize("name", MEMBERS)
def test_every_dependency_is_pinned_inside_its_range(name: str) -> None:
    project = MEMBERS[name]["project"]
    lines = project["dependencies"] + (project["optional-dependencies"]["eval"] if name == "sd-data" else [])
    for requirement in requirements(lines):
        if requirement.name in MEMBERS:
            continue
        pin = PINS[canonicalize_name(requirement.name)]
        version = str(pin.specifier).removeprefix("==")
        assert requirement.specifier.contains(version, prereleases=True), f"{pin} is outside {requirement}"


def test_dev_tools_are_pinned_and_root_installs_every_member() -> None:
    root = table(ROOT / "pyproject.toml")
    dev = {canonicalize_name(r.name) for r in requirements(root["dependency-groups"]["dev"])}
    assert not dev - set(PINS)
    assert {r.name for r in requirements(root["project"]["dependencies"])} == set(MEMBERS)


def test_versions_move_in_lockstep() -> None:
    versions = {member["project"]["version"] for member in MEMBERS.values()}
    assert len(versions) == 1
    for name, member in MEMBERS.items():
        own = [r for r in requirements(member["project"]["dependencies"]) if r.name in MEMBERS]
        assert all(str(r.specifier) == f"=={next(iter(versions))}" for r in own), name


@pytest.mark.parametrize(("contract", "doors"), [("networks enter core", DOORS), ("data enters core", DATA_DOORS)])
def test_contracts_close_every_module_of_core_but_the_doors(contract: str, doors: set[str]) -> None:
    """A new module of core must be put behind the doors by hand; this says when that was forgotten."""
    core = ROOT / "packages" / "sd-core" / "src" / "sd_core"
    modules = {path.stem for path in core.iterdir() if not path.name.startswith("_") and path.name != "py.typed"}
    contracts = table(ROOT / "pyproject.toml")["tool"]["importlinter"]["contracts"]
    closed = next(c["forbidden_modules"] for c in contracts if c["name"].startswith(contract))
    assert {name.removeprefix("sd_core.") for name in closed} == modules - doors


def test_every_module_of_offers_is_held_free_of_torch() -> None:
    """`plugin.py` and `options.py` are read by every command."""
    contracts = table(ROOT / "pyproject.toml")["tool"]["importlinter"]["contracts"]
    held = next(c["source_modules"] for c in contracts if c["name"] == "what a plugin offers is read without torch")
    modules = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts[3:])
        for path in ROOT.glob("packages/*/src/**/*.py")
        if path.stem in ("plugin", "options", "builtin") and "testing" not in path.parts
    }
    assert modules <= set(held)


def test_every_make_target_has_a_line_of_help() -> None:
    text = (ROOT / "Makefile").read_text("utf-8")
    phony = re.search(r"^\.PHONY: (.*)$", text, re.M)
    assert phony is not None
    shown = subprocess.run(["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in phony[1].split():
        assert re.search(rf"make {target}\s+\S", shown), target
