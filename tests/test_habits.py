"""The habits of the house, measured: sizes, names, what no committed file may hold."""

from __future__ import annotations

import ast
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = sorted(path.parent for path in ROOT.glob("packages/*/pyproject.toml"))
LICENCE_AND_PINS = {"LICENSE"}
HOOKSPECS = ROOT / "packages/sd-core/src/sd_core/hookspecs.py"
BINARY = {".png", ".edf", ".npz", ".parquet", ".arrow", ".safetensors", ".gz", ".pt"}
# Spelled apart, so that this file may be committed.
HOSTS = ["py" + "pi.o" + "rg", "python" + "hos" + "ted", "deb.deb" + "ian", "registry.np" + "mjs"]
MACHINE_PATHS = [f"/{a}/{b}" for a, b in (("work", "main"), ("work", "shared"), ("opt", "wheels"), ("root", ""))]


def tracked() -> list[Path]:
    """Files of the repository: known to git, or new and not ignored."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [path for name in listed.stdout.splitlines() if (path := ROOT / name).is_file()]


def sources() -> list[Path]:
    """Every Python file of the repository."""
    return [path for path in tracked() if path.suffix == ".py"]


def package_sources() -> list[Path]:
    """Python files that are shipped."""
    return [path for path in sources() if "src" in path.relative_to(ROOT).parts]


def parsed(paths: list[Path]) -> Iterator[tuple[str, ast.AST]]:
    """(name with line, node) of every node of these files."""
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            yield f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}", node


def test_no_file_is_longer_than_400_lines() -> None:
    long = {str(p.relative_to(ROOT)): n for p in sources() if (n := len(p.read_text("utf-8").splitlines())) > 400}
    assert not long


def test_no_function_is_longer_than_60_lines() -> None:
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    long = [
        f"{where} {node.name}: {lines} lines"
        for where, node in parsed(sources())
        if isinstance(node, functions) and (lines := (node.end_lineno or 0) - node.lineno + 1) > 60
    ]
    assert not long


def test_shipped_files_are_short_in_the_middle() -> None:
    lengths = sorted(len(path.read_text("utf-8").splitlines()) for path in package_sources())
    lengths = [length for length in lengths if length]
    assert lengths[len(lengths) // 2] <= 120


SWALLOWS = ("sd-core/src/sd_core/run/harmless.py",)
"""The one place where a failure becomes a warning: whatever watches a training must not end it."""


def test_no_exception_is_swallowed_broadly() -> None:
    """Where a stranger's code runs, anything may be caught, but only to raise a better error from it."""
    broad = [
        f"{where} except {caught}"
        for where, node in parsed(sources())
        if isinstance(node, ast.ExceptHandler)
        and (caught := ast.unparse(node.type) if node.type else "everything")
        in ("everything", "Exception", "BaseException")
        and not (isinstance(last := node.body[-1], ast.Raise) and (last.exc is None or last.cause is not None))
    ]
    assert [where for where in broad if not any(place in where for place in SWALLOWS)] == []
    assert len(broad) == len(SWALLOWS)


def test_no_catch_all_modules_or_classes() -> None:
    modules = [path for path in package_sources() if path.stem in ("utils", "util", "helpers", "misc", "common")]
    classes = [
        f"{where} {node.name}"
        for where, node in parsed(package_sources())
        if isinstance(node, ast.ClassDef) and (node.name.endswith("Manager") or re.search(r"^Base|Base$", node.name))
    ]
    assert not modules
    assert not classes


def test_core_decides_nothing_by_a_component_name() -> None:
    """`if model.name == "dit"` in core would make a plugin special."""
    names = {"dit", "hourglass", "localmamba", "sd35", "timeseries", "db-only", "db-iq", "db-polar", "eegmat"}
    core = [path for path in package_sources() if "sd-core" in path.parts]
    special = [
        f"{where} {ast.unparse(node)}"
        for where, node in parsed(core)
        if isinstance(node, ast.Compare)
        and any(isinstance(c, ast.Constant) and c.value in names for c in [node.left, *node.comparators])
    ]
    assert not special


def test_no_host_and_no_machine_path_is_committed() -> None:
    forbidden = re.compile("|".join(re.escape(text) for text in [*HOSTS, *MACHINE_PATHS]))
    found = [
        f"{path.relative_to(ROOT)}:{number} {line.strip()[:80]}"
        for path in tracked()
        if path.suffix not in BINARY and path.name not in LICENCE_AND_PINS
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if forbidden.search(line)
    ]
    assert not found


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
def test_every_package_is_complete(package: Path) -> None:
    module = package / "src" / package.name.replace("-", "_")
    assert (package / "README.md").read_text("utf-8").startswith(f"# {package.name}\n")
    assert (module / "py.typed").exists()
    assert list((package / "tests").glob("test_*.py")), "no tests"
    inits = [path for path in package.glob("src/**/__init__.py") if path.read_text("utf-8").strip()]
    assert not inits, "an __init__.py is empty"


def test_every_hook_is_documented_and_offered() -> None:
    """A kind of component without a section in the reference, or without a single offer, is unfinished."""
    kinds = re.findall(r"^def sd_(\w+)\(", HOOKSPECS.read_text("utf-8"), re.M)
    sections = (ROOT / "docs/reference/components.md").read_text("utf-8").split("\n## ")[1:]
    offered = {section.splitlines()[0]: section.count("\n### ") for section in sections}
    assert kinds
    assert not [kind for kind in kinds if not offered.get(kind)]


def test_test_files_have_distinct_names() -> None:
    """Two files of one name are one module to the type checker and to a reader of its output."""
    names = Counter(path.name for path in sources() if path.name.startswith("test_"))
    assert not [name for name, count in names.items() if count > 1]


def test_links_between_pages_lead_somewhere() -> None:
    link = re.compile(r"\]\((?!https?:|#)([^)#\s]+)")
    broken = [
        f"{page.relative_to(ROOT)} -> {target}"
        for page in tracked()
        if page.suffix == ".md"
        for target in link.findall(page.read_text("utf-8"))
        if not (page.parent / target).exists()
    ]
    assert not broken
