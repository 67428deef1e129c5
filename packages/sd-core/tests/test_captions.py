"""The conditioner "caption": through the contract, and what it promises about padding, kinds and lengths."""

from __future__ import annotations

import logging

import pytest
import torch
from pydantic import ValidationError

from sd_core.diffusion.captions import Caption
from sd_core.diffusion.options import CaptionOptions
from sd_core.errors import SdError
from sd_core.task import Conditioning, Labels, LabelSpace
from sd_core.testing.conditioner import ConditionerContract

SPACE = LabelSpace(texts=frozenset({"caption"}))
CAPTIONS = ["EEG of a woman at rest", "EEG", "Büro, während sie rechnet"]


def caption(**options: object) -> Caption:
    torch.manual_seed(0)
    return Caption(CaptionOptions.model_validate({"width": 32, "tokens": 3, **options}), SPACE)


class TestCaption(ConditionerContract):
    emit: tuple[str, ...] = ("vector", "tokens")

    def conditioner(self) -> Caption:
        return caption(emit=self.emit)

    def labels(self) -> Labels:
        return {"caption": CAPTIONS}

    def missing(self) -> Labels:
        return {"caption": ["", " ", ""]}


class TestCaptionAsVector(TestCaption):
    emit = ("vector",)


class TestCaptionAsTokens(TestCaption):
    emit = ("tokens",)


def both(conditioning: Conditioning) -> torch.Tensor:
    assert conditioning.vector is not None
    assert conditioning.tokens is not None
    return torch.cat([conditioning.vector[:, None], conditioning.tokens], dim=1)


def test_what_else_is_in_the_batch_does_not_matter() -> None:
    conditioner = caption()
    alone = both(conditioner({"caption": ["EEG"]}))
    beside = both(conditioner({"caption": [*CAPTIONS, "x" * 200]}))
    torch.testing.assert_close(alone[0], beside[1], rtol=1e-5, atol=1e-5)
    assert len(torch.unique(beside, dim=0)) == 4


def test_order_and_every_byte_are_seen() -> None:
    read = both(caption()({"caption": ["ab", "ba", "ab ", "a"]}))
    assert len(torch.unique(read, dim=0)) == 4


def test_it_emits_what_the_network_takes() -> None:
    for supported, kinds in (
        ({"vector"}, {"vector"}),
        ({"tokens"}, {"tokens"}),
        ({"vector", "tokens"}, {"vector", "tokens"}),
        (set(), {"vector", "tokens"}),  # refused by whoever asked
    ):
        conditioner = caption()
        whole = both(conditioner({"caption": CAPTIONS}))
        conditioner.restrict(frozenset(supported))
        assert conditioner.emits.needs == kinds
        got = conditioner({"caption": CAPTIONS})
        if got.vector is not None:
            torch.testing.assert_close(got.vector, whole[:, 0])
        if got.tokens is not None:
            torch.testing.assert_close(got.tokens, whole[:, 1:])


def test_a_caption_that_is_too_long_is_refused_or_cut_with_a_sentence(caplog: pytest.LogCaptureFixture) -> None:
    captions = ["short", "x" * 20, "é" * 9]
    with pytest.raises(SdError, match=r"2 of 3 .* 16 bytes .*longest has 20.*max_bytes to 20, .*too_long"):
        caption(max_bytes=16).prepare(captions)
    cut = caption(max_bytes=16, too_long="cut")
    with caplog.at_level(logging.WARNING):
        cut.prepare(captions)
    assert "2 of 3 different captions" in caplog.text
    same = both(cut({"caption": ["x" * 20, "x" * 16, "x" * 15]}))
    assert torch.equal(same[0], same[1])
    assert not torch.equal(same[1], same[2])
    caption(max_bytes=20).prepare(captions)


def test_a_dataset_without_sentences_is_refused() -> None:
    with pytest.raises(SdError, match=r"dataset\.caption_column"):
        Caption(CaptionOptions(), LabelSpace(categories={"class": ("a",)}))


@pytest.mark.parametrize(
    "options",
    [{"encoder": ()}, {"encoder": ("bytes", "t5")}, {"encoder": "t5", "layers": 3}, {"emit": ()}, {"template": "[x"}],
)
def test_options_that_make_no_sense(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        CaptionOptions.model_validate(options)
