"""A tiny pretrained pipeline, made once, and a cache of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from sd_sd35.testing import make_tiny_pretrained


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a complete tiny pipeline."""
    return make_tiny_pretrained(tmp_path_factory.mktemp("tiny") / "sd3")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Text states of one test are not found by another."""
    monkeypatch.setenv("SIGNAL_DIFFUSION_CACHE", str(tmp_path_factory.mktemp("cache")))
