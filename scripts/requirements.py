"""Print what `make install` installs: every package of the workspace, editable, and the dev tools."""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def requirements(root: Path) -> list[str]:
    """Lines of a pip requirements file, from the root's dependencies and its dev group."""
    table = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    members: list[str] = [f"-e packages/{name}" for name in table["project"]["dependencies"]]
    tools: list[str] = table["dependency-groups"]["dev"]
    return members + tools


if __name__ == "__main__":
    print("\n".join(requirements(ROOT)))
