"""Toy components for reading configs, strangers' plugins that are installed for one test, and kernels forgotten."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent
from typing import Annotated, Literal

import pytest
from pydantic import Field, model_validator

from sd_core.discovery import PluginRecord
from sd_core.nn.tasks import forget_kernels
from sd_core.plugin import Component, ObjectiveOptions, Options, SamplerOptions
from sd_core.registry import Registry

Install = Callable[..., Path]
"""(distribution, plugin source, version="1.0", group="signal_diffusion.v1", **modules) -> the site folder."""


class NetOptions(Options):
    """Options of the toy network."""

    depth: Annotated[int, Field(ge=1)] = 4
    """Blocks."""
    patch_size: tuple[int | Literal["all"], int | Literal["all"]] = (4, 4)
    """Height and width."""
    limit: float | None = 2.0
    """Can be switched off."""


class PretrainedNetOptions(Options):
    """A network that reads `[model] pretrained` itself."""

    pretrained: str | None = None
    """From `[model]`."""
    title: str = "x"
    """Any text."""


class ViewOptions(Options):
    """Options of the toy representation."""

    pre_emphasis: float = 0.0
    """First-order filter."""


class ClassOptions(Options):
    """Options of the toy conditioner."""

    width: int = 8
    """Of the vector."""


class PathOptions(ObjectiveOptions):
    """Options of the toy objective."""

    mean: float = 0.0
    """Of logit(t)."""
    spread: float = 1.0
    """Of logit(t)."""

    @model_validator(mode="after")
    def _check(self) -> PathOptions:
        if self.spread < self.mean:
            raise ValueError("spread is smaller than mean")
        return self


class NoisyOptions(ObjectiveOptions):
    """An objective of the variance-preserving sort, with its own default."""

    timestep_sampling: Literal["logit_normal", "uniform", "mode"] = "uniform"
    snr_gamma: float | None = None
    """Clamp of the signal-to-noise ratio."""


class StepOptions(SamplerOptions):
    """Options of the toy sampler."""

    order: int = 2
    """Of the integrator."""


class CorpusOptions(Options):
    """Options of the toy corpus."""

    source: str
    """Folder of recordings."""


class JudgeOptions(Options):
    """Options of the toy metric."""

    bands: tuple[float, ...] = (1.0, 45.0)
    """Hz."""


class EventsOptions(Options):
    """Options of the toy tracker; the first comes from `[logging]`."""

    log_dir: str | None = None
    """Folder."""
    every: int = 1
    """Steps."""


def _component(name: str, options: type[Options] | None = None, **facts: object) -> Component:
    target = "sd_core.options:NoOptions" if options is None else f"{__name__}:{options.__name__}"
    return Component(name=name, summary=f"A toy {name}", factory=f"{__name__}:dict", options=target)


@pytest.fixture
def toys() -> Registry:
    """A registry that offers one or two components of each kind, and no installed plugin."""
    components = {
        "architectures": (_component("net", NetOptions), _component("hubnet", PretrainedNetOptions)),
        "representations": (_component("timeseries", ViewOptions),),
        "conditioners": (_component("none"), _component("classes", ClassOptions)),
        "codecs": (_component("none"), _component("vae")),
        "objectives": (_component("flow", PathOptions), _component("noisy", NoisyOptions)),
        "samplers": (_component("heun", StepOptions), _component("euler")),
        "corpora": (_component("toy-corpus", CorpusOptions), _component("demo")),
        "metrics": (_component("judge", JudgeOptions), _component("referee")),
        "trackers": (_component("tensorboard", EventsOptions), _component("console", EventsOptions)),
    }
    return Registry((PluginRecord(name="toys", distribution="toys", version="1.0", components=components),))


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Write a config into an empty working directory: (text, name="run.toml") -> its relative path."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SIGNAL_DIFFUSION_DATA", raising=False)

    def _write(text: str, name: str = "run.toml") -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text), encoding="utf-8")
        return name

    return _write


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Install a stranger's package for this test: its modules and the metadata that pip would write."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    before = set(sys.modules)

    def _install(
        distribution: str, plugin: str, version: str = "1.0", group: str = "signal_diffusion.v1", **modules: str
    ) -> Path:
        package = distribution.replace("-", "_")
        for name in [name for name in sys.modules if name.partition(".")[0] == package]:
            monkeypatch.delitem(sys.modules, name)
        (site / package).mkdir()
        for name, source in {"__init__": "", "plugin": plugin, **modules}.items():
            (site / package / f"{name}.py").write_text(dedent(source), encoding="utf-8")
        metadata = site / f"{package}-{version}.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        (metadata / "entry_points.txt").write_text(f"[{group}]\n{distribution} = {package}.plugin\n")
        return site

    yield _install
    for name in set(sys.modules) - before:
        if str(site) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.fixture
def fresh_kernels() -> Iterator[None]:
    """Kernels are remembered for the life of a process; tests that change the compiler start and end without."""
    forget_kernels()
    yield
    forget_kernels()
