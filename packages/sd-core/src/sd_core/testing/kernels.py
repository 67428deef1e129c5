"""For tests of what a C compiler builds: `sd_core.nn.building` does without where there is none, and so do they."""

from __future__ import annotations

import pytest

from sd_core.nn.building import KernelUnavailable, find_compiler


def _reason() -> str:
    try:
        find_compiler()
    except KernelUnavailable as reason:
        return str(reason)
    return ""


_WITHOUT = _reason()
needs_compiler = pytest.mark.skipif(bool(_WITHOUT), reason=_WITHOUT or "there is one")
"""Marks a test, a parameter of one or, as `pytestmark`, a file of them: skipped where there is no C compiler."""
