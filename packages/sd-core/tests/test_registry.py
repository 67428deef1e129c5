"""A test per row of the table of situations in the design: what is said when a component cannot be had."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sd_core.discovery import KINDS, PluginRecord
from sd_core.errors import SdError
from sd_core.options import NoOptions
from sd_core.registry import NOUNS, Registry, discover

Install = Callable[..., Path]

GOOD = """
    from sd_core.plugin import Component, hookimpl

    @hookimpl
    def sd_architectures():
        return [Component(name="wavenet", summary="Convolutions", factory="acme_wave.model:WaveNet",
                          options="acme_wave.options:WaveOptions", supports=frozenset({"vector"}))]
"""
OPTIONS = """
    from sd_core.plugin import Options

    class WaveOptions(Options):
        layers: int = 3
"""
MODEL = """
    class WaveNet:
        def __init__(self, options, task):
            self.layers = options.layers
            self.task = task
"""


def offering(name: str, kind: str = "architectures", **facts: str) -> str:
    """The source of a plugin with one component."""
    given = "".join(f", {key}={value}" for key, value in facts.items())
    return f"""
    from sd_core.plugin import Component, hookimpl

    @hookimpl
    def sd_{kind}():
        return [Component(name="{name}", summary="A toy"{", factory='x.y:Z'" if "factory" not in facts else ""}{given})]
"""


def said(kind: str, name: str, registry: Registry | None = None) -> str:
    with pytest.raises(SdError) as caught:
        (registry or discover()).find(kind, name)
    return str(caught.value)


def record(registry: Registry, distribution: str) -> PluginRecord:
    return next(plugin for plugin in registry.plugins if plugin.distribution == distribution)


def test_a_strangers_plugin_is_found_and_its_network_built_only_when_asked_for(install: Install) -> None:
    install("acme-wave", GOOD, options=OPTIONS, model=MODEL)
    registry = discover()
    assert registry.find("architectures", "wavenet").supports == {"vector"}
    assert "wavenet" in registry.names("architectures")
    assert registry.versions()["acme-wave"] == "1.0"
    assert "acme_wave.options" not in sys.modules
    options = registry.options("architectures", "wavenet")
    assert options.model_fields["layers"].default == 3
    assert "acme_wave.model" not in sys.modules
    network = registry.create("architectures", "wavenet", options(), "a task")
    assert (network.layers, network.task) == (3, "a task")


def test_core_offers_through_the_same_door() -> None:
    registry = discover()
    assert record(registry, "sd-core").broken is None
    assert {"euler", "heun"} <= set(registry.names("samplers"))


def test_every_kind_has_a_word_for_messages() -> None:
    assert set(NOUNS) == set(KINDS)
    assert "architectures" in KINDS


def test_without_options_there_are_none(install: Install) -> None:
    install("acme", offering("plain"))
    assert discover().options("architectures", "plain") is NoOptions


def test_not_installed_names_the_package_of_ours_and_what_there_is(toys: Registry) -> None:
    assert said("architectures", "hourglass", toys) == (
        "model 'hourglass' is not installed. Install it: pip install sd-hourglass. Installed: hubnet, net"
    )


def test_a_typo_is_answered_with_the_nearest_name(toys: Registry) -> None:
    assert said("architectures", "hourgalss", toys).startswith(
        "model 'hourgalss' is not known; did you mean 'hourglass'? Installed: hubnet, net"
    )
    assert "did you mean 'timeseries'?" in said("representations", "timeserie", toys)
    assert said("corpora", "zzz", toys) == "corpus 'zzz' is not known. Installed: demo, toy-corpus"


def test_an_installed_package_that_does_not_offer_the_name_may_be_too_old() -> None:
    old = Registry((PluginRecord(name="sd-dit", distribution="sd-dit", version="0.0.1"),))
    assert said("architectures", "dit", old) == (
        "model 'dit' is not offered by sd-dit 0.0.1: pip install --upgrade sd-dit may bring it. Installed: none"
    )


@pytest.mark.parametrize(
    ("source", "cause"),
    [
        (
            "import no_such_module_here",
            "cannot be imported: ModuleNotFoundError: No module named 'no_such_module_here'",
        ),
        ("raise RuntimeError('no\\nluck')", "cannot be imported: RuntimeError: no luck"),
        ("import sys; sys.exit('go away')", "cannot be imported: SystemExit: go away"),
        ("def broken(", "cannot be imported: SyntaxError"),
        (offering("x", kind="surprises"), "does not fit the hooks"),
        (offering("x").replace("sd_architectures()", "sd_architectures(task)"), "does not fit the hooks"),
        (offering("Bad Name"), "its hook sd_architectures raised ValueError: component name 'Bad Name'"),
        (offering("x").replace("[Component(", "3 or [Component("), "raised TypeError: 'int' object is not iterable"),
        (offering("x").replace("return [Component(", "return [3, Component("), "returned 3, which is not a Component"),
        (offering("x").replace("return [", "return 2 * ["), "offers 'x' twice"),
        (offering("x").replace("@hookimpl", "@hookimpl(wrapper=True)").replace("return", "yield"), "not a Component"),
    ],
)
def test_a_broken_plugin_is_listed_with_its_cause_and_harms_nobody(install: Install, source: str, cause: str) -> None:
    install("aaa-broken", source)
    install("acme-wave", GOOD, options=OPTIONS, model=MODEL)
    registry = discover()
    broken = record(registry, "aaa-broken")
    assert cause in (broken.broken or "")
    assert broken.components == {}
    assert "aaa-broken" not in registry.versions()
    assert record(registry, "acme-wave").broken is None
    assert registry.find("architectures", "wavenet")


def test_what_is_wanted_from_a_broken_plugin_says_why(install: Install) -> None:
    install("sd-hourglass", "import no_such_module_here", version="9.9")
    assert said("architectures", "hourglass").startswith(
        "model 'hourglass' cannot be used: sd-hourglass 9.9 cannot be imported: "
        "ModuleNotFoundError: No module named 'no_such_module_here'. Installed:"
    )
    assert "sd-hourglass 9.9 cannot be imported" in said("architectures", "sd-hourglass:anything")
    assert "Broken plugins: sd-hourglass 9.9 cannot be imported" in said("architectures", "qqq")


def test_two_plugins_may_offer_one_name_until_the_bare_name_is_used(install: Install) -> None:
    install("acme-wave", GOOD, options=OPTIONS, model=MODEL)
    install("other-wave", offering("wavenet"))
    registry = discover()
    assert said("architectures", "wavenet", registry) == (
        "model 'wavenet' is offered by 2 plugins: write 'acme-wave:wavenet' or 'other-wave:wavenet'"
    )
    assert registry.find("architectures", "other-wave:wavenet").factory == "x.y:Z"
    assert registry.find("architectures", "acme_wave:wavenet").factory == "acme_wave.model:WaveNet"
    assert {"acme-wave:wavenet", "other-wave:wavenet"} <= set(registry.names("architectures"))
    assert "did you mean 'acme-wave:wavenet'?" in said("architectures", "acme-wave:wavnet", registry)
    assert "pip install nobody" in said("architectures", "nobody:wavenet", registry)


def test_a_missing_optional_dependency_names_the_extra(install: Install) -> None:
    install("acme-a", offering("a", requires="('no_such_module_here',)", extra="'fancy'"))
    install("acme-b", offering("b", requires="('no_such_parent.child', 'json')"))
    registry = discover()
    with pytest.raises(SdError, match=r"^model 'a' needs no_such_module_here: pip install 'acme-a\[fancy\]'$"):
        registry.create("architectures", "a")
    with pytest.raises(SdError, match=r"^model 'b' needs no_such_parent.child: pip install no_such_parent.child$"):
        registry.create("architectures", "b")


def test_a_plugin_for_a_newer_api_says_so(install: Install) -> None:
    install("sd-foo", "raise RuntimeError('must not be imported')", version="3.0", group="signal_diffusion.v2")
    newer = record(discover(), "sd-foo")
    assert f"{newer.title} {newer.broken}" == "sd-foo 3.0 needs a newer sd-core (plugin API v2)"


def test_a_plugin_for_both_apis_serves_ours(install: Install) -> None:
    site = install("acme-wave", GOOD, options=OPTIONS, model=MODEL)
    points = site / "acme_wave-1.0.dist-info" / "entry_points.txt"
    points.write_text(points.read_text() + "[signal_diffusion.v2]\nacme-wave = acme_wave.newer\n")
    found = [plugin for plugin in discover().plugins if plugin.distribution == "acme-wave"]
    assert [plugin.broken for plugin in found] == [None]


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("import no_such_module_here", "ModuleNotFoundError: No module named 'no_such_module_here'"),
        ("raise OSError('libcuda.so: cannot open')", "OSError: libcuda.so: cannot open"),
        ("", "has no attribute 'WaveNet'"),
    ],
)
def test_a_factory_that_cannot_be_imported_is_one_sentence(install: Install, model: str, words: str) -> None:
    install("acme-wave", GOOD, options=OPTIONS, model=model)
    with pytest.raises(SdError, match=r"^model 'wavenet' \(acme-wave 1.0\) cannot be imported") as caught:
        discover().create("architectures", "wavenet")
    assert words in str(caught.value)


def test_a_bug_inside_a_factory_keeps_its_traceback(install: Install) -> None:
    install("acme-wave", GOOD, options=OPTIONS, model="def WaveNet(options, task): return {}[task]")
    with pytest.raises(KeyError, match="a task"):
        discover().create("architectures", "wavenet", None, "a task")


def test_options_must_be_options(install: Install) -> None:
    install("acme-wave", GOOD, options="WaveOptions = dict")
    with pytest.raises(SdError, match=r"acme-wave 1.0 is broken: .* is not a subclass of sd_core.plugin.Options"):
        discover().options("architectures", "wavenet")
