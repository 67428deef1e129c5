"""Write config/CONFIG_SUMMARY.md, a table of what the shipped configs set: `[--check]`."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "config" / "CONFIG_SUMMARY.md"
SHARED = ("default.toml",)
HEAD = """# Shipped configs

Written by `make docs` from the files themselves; `make check` compares. Keys that a file leaves out have the defaults
of [the reference](../docs/reference/config.md).
"""


def flat(table: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Dotted keys of nested tables."""
    rows: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, dict):
            rows |= flat(value, f"{prefix}{key}.")
        else:
            rows[prefix + key] = value
    return rows


def literal(value: Any) -> str:
    """A value as TOML writes it, ready for a table cell."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, list):
        return f"[{', '.join(literal(item) for item in value)}]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def section(path: Path, root: Path) -> str:
    """One config: a heading, the first line of its head, a table of its keys."""
    text = path.read_text(encoding="utf-8")
    what = text.splitlines()[0].removeprefix("# ")
    rows = "".join(f"| `{key}` | `{literal(value)}` |\n" for key, value in flat(tomllib.loads(text)).items())
    name = path.relative_to(root / "config").as_posix()
    return f"\n## [{name}]({name})\n\n{what}\n\n| key | value |\n|---|---|\n{rows}"


def summary(root: Path) -> str:
    """The whole page, shared settings first, then runs by name."""
    runs = sorted((root / "config").rglob("*.toml"), key=lambda path: (path.name not in SHARED, path.as_posix()))
    return HEAD + "".join(section(path, root) for path in runs)


def main() -> int:
    """Write the page, or with --check say whether it is stale."""
    page = summary(ROOT)
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(page, encoding="utf-8")
        return 0
    if not PAGE.exists() or PAGE.read_text(encoding="utf-8") != page:
        print("config/CONFIG_SUMMARY.md is stale: run make docs", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
