import subprocess
import sys
from collections.abc import Iterable
from importlib import import_module
from typing import Any

import pytest
import torch

from sd_core import builtin
from sd_core.codecs.identity import Identity
from sd_core.components import Component
from sd_core.options import NoOptions, Options
from sd_core.task import GridShape

OFFERS: dict[str, Iterable[Component]] = {
    "objectives": builtin.sd_objectives(),
    "samplers": builtin.sd_samplers(),
    "conditioners": builtin.sd_conditioners(),
    "codecs": builtin.sd_codecs(),
    "trackers": builtin.sd_trackers(),
    "exporters": builtin.sd_exporters(),
}
ALL = [pytest.param(offer, id=f"{kind}-{offer.name}") for kind, offers in OFFERS.items() for offer in offers]


def _resolve(target: str) -> Any:
    module, _, attribute = target.partition(":")
    return getattr(import_module(module), attribute)


@pytest.mark.parametrize("offer", ALL)
def test_every_offer_can_be_kept(offer: Component) -> None:
    assert callable(_resolve(offer.factory))
    options = _resolve(offer.options)
    assert issubclass(options, Options)
    options()  # every option has a default


def test_core_offers_what_the_design_names() -> None:
    names = {kind: [offer.name for offer in offers] for kind, offers in OFFERS.items()}
    assert names["samplers"] == ["euler", "heun", "dpm++", "unipc"]
    assert names["conditioners"] == ["none", "classes", "attributes", "caption"]
    assert names["objectives"] == ["flow"]
    assert names["codecs"] == ["none", "vae"]


def test_names_may_hold_a_plus_but_not_a_space() -> None:
    with pytest.raises(ValueError, match="'dpm 2'"):
        Component(name="dpm 2", summary="", factory="a:b")


def test_offers_and_options_are_read_without_torch() -> None:
    script = (
        "import sys, sd_core.builtin, sd_core.diffusion.options; "
        "sys.exit(', '.join({'torch', 'numpy', 'diffusers'} & set(sys.modules)) or None)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_the_codec_none_changes_nothing() -> None:
    shape = GridShape(2, 3, 4)
    codec, x = Identity(NoOptions(), shape), torch.randn(1, *shape)
    assert codec.shape == shape
    assert codec.decode(codec.encode(x)) is x
