"""Mirror constraints.txt into pyproject.toml, where uv reads it: `scripts/constraints.py [--check]`."""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PINS = ROOT / "constraints.txt"
MIRROR = ROOT / "pyproject.toml"
_TABLE = re.compile(r"^constraint-dependencies = \[\n(?:.*\n)*?\]\n", re.MULTILINE)


def pins(text: str) -> list[str]:
    """The requirement lines of a constraints file, comments left out."""
    lines = (line.split("#")[0].strip() for line in text.splitlines())
    return [line for line in lines if line]


def mirrored(pyproject: str, requirements: list[str]) -> str:
    """The text of pyproject.toml with these requirements in `[tool.uv] constraint-dependencies`."""
    rows = "".join(f'    "{requirement}",\n' for requirement in requirements)
    text, count = _TABLE.subn(f"constraint-dependencies = [\n{rows}]\n", pyproject)
    if count != 1:
        raise SystemExit("pyproject.toml needs exactly one [tool.uv] constraint-dependencies list")
    return text


def main() -> int:
    """Write the mirror, or with --check say whether it differs."""
    old = MIRROR.read_text(encoding="utf-8")
    new = mirrored(old, pins(PINS.read_text(encoding="utf-8")))
    if "--check" not in sys.argv[1:]:
        MIRROR.write_text(new, encoding="utf-8")
        return 0
    if new != old:
        print("constraints.txt and pyproject.toml differ: run python scripts/constraints.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
