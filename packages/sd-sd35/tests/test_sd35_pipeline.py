"""Against `StableDiffusion3Pipeline`: text states, network, and whole samplings, on the tiny checkpoint."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import SD3Transformer2DModel, StableDiffusion3Pipeline
from torch import Tensor

from sd_core.diffusion.flow import Flow
from sd_core.diffusion.guidance import Strength, guide
from sd_core.diffusion.options import FlowOptions
from sd_core.diffusion.samplers import Euler
from sd_core.options import SamplerOptions
from sd_core.plugin import Condition, GridShape, LabelSpace, SdError, Task
from sd_core.run.network import Network
from sd_core.testing.conditioner import ConditionerContract
from sd_sd35.model import SD35
from sd_sd35.options import SD3TextOptions, SD35Options
from sd_sd35.testing import make_tiny_pretrained
from sd_sd35.text import SD3Text

CAPTIONS = ["resting EEG of a healthy woman of 61 years", "", "arithmetic, Parkinson's disease", "ß 10-20 Hz"]
LABELS = LabelSpace(texts=frozenset({"caption"}))
SHAPE = GridShape(16, 4, 20)


@pytest.fixture(scope="module")
def pipeline(tiny: Path) -> Any:
    found = StableDiffusion3Pipeline.from_pretrained(tiny)
    found.set_progress_bar_config(disable=True)
    return found


def conditioner(tiny: Path, **options: Any) -> SD3Text:
    return SD3Text(SD3TextOptions(pretrained=str(tiny), **options), LABELS)


def network(tiny: Path, t5: bool = True) -> Network:
    text = conditioner(tiny, t5=t5)
    return Network(SD35(SD35Options(pretrained=str(tiny)), Task(SHAPE, text.emits)), text).eval()


class TestSD3Text(ConditionerContract):
    @pytest.fixture(autouse=True)
    def _folder(self, tiny: Path) -> None:
        self.tiny = tiny

    def conditioner(self) -> SD3Text:
        return conditioner(self.tiny)

    def labels(self) -> dict[str, Any]:
        return {"caption": ["a", "b", "rest"]}

    def missing(self) -> dict[str, Any]:
        return {"caption": ["", "", ""]}


@pytest.mark.parametrize("t5", [True, False])
def test_text_states_are_the_pipelines(tiny: Path, pipeline: Any, t5: bool) -> None:
    """As the pipeline makes them of a batch, first encoded, then from the disk."""
    if not t5:
        pipeline = StableDiffusion3Pipeline(**{**pipeline.components, "text_encoder_3": None, "tokenizer_3": None})
    tokens, _, pooled, _ = pipeline.encode_prompt(CAPTIONS, None, None, do_classifier_free_guidance=False)
    for _ in range(2):
        found = conditioner(tiny, t5=t5)({"caption": CAPTIONS})
        assert found.tokens is not None
        assert found.tokens.shape == (4, 77 + 256, 48)
        torch.testing.assert_close(found.tokens, tokens, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(found.vector, pooled, rtol=1e-5, atol=1e-5)


def test_texts_are_encoded_once(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = conditioner(tiny)({"caption": CAPTIONS})
    monkeypatch.setattr("sd_sd35.text.Encoders", None)
    again = conditioner(tiny)({"caption": CAPTIONS})
    assert first.tokens is not None
    assert again.tokens is not None
    assert torch.equal(first.tokens, again.tokens)


def test_other_encoders_are_other_states(tiny: Path, tmp_path: Path) -> None:
    """The cache goes by the weights and by what is made of them, not by the folder's name."""
    other = make_tiny_pretrained(tmp_path / "other", seed=1)
    one, two = (conditioner(folder)({"caption": ["rest"]}).vector for folder in (tiny, other))
    assert one is not None
    assert not torch.equal(one, two)
    lengths = [conditioner(tiny, t5=True, t5_length=length)({"caption": ["rest"]}).tokens for length in (20, 30)]
    assert [tokens.shape[1] for tokens in lengths if tokens is not None] == [97, 107]


def test_tokenizers_do_not_warn_of_what_is_cut_on_purpose(tiny: Path, caplog: pytest.LogCaptureFixture) -> None:
    theirs = logging.getLogger("transformers")  # its records do not propagate
    theirs.addHandler(caplog.handler)
    try:
        conditioner(tiny).prepare(["a caption that nobody else reads " * 20])
    finally:
        theirs.removeHandler(caplog.handler)
    assert "1 of 1 captions are longer" in caplog.text
    assert "indexing errors" not in caplog.text


def test_long_captions_are_cut_and_counted(tiny: Path, pipeline: Any, caplog: pytest.LogCaptureFixture) -> None:
    long = "of a patient " * 20
    text = conditioner(tiny)
    with caplog.at_level(logging.WARNING):
        text.prepare([long, "short", long])
    assert "1 of 2 captions are longer than the 77 tokens" in caplog.text
    with caplog.at_level(logging.WARNING):
        text.prepare(["another split", f"and {long}"])
    assert "1 of 2 captions are longer than the 77 tokens" in caplog.messages[-1]
    with caplog.at_level(logging.WARNING):
        text.prepare(["a split of short ones"])
    assert len(caplog.messages) == 2
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        found = conditioner(tiny)({"caption": [long, "short"]})
        text({"caption": [long]})
    assert caplog.text.count("1 of the 2 captions of this batch") == 1
    _, _, pooled, _ = pipeline.encode_prompt([long, "short"], None, None, do_classifier_free_guidance=False)
    torch.testing.assert_close(found.vector, pooled, rtol=1e-5, atol=1e-5)


def test_the_encoders_are_no_part_of_the_network(tiny: Path) -> None:
    text = conditioner(tiny)
    text({"caption": ["rest"]})
    assert not text.state_dict()
    assert not list(text.parameters())


def test_encoding_moves_no_random_numbers(tiny: Path) -> None:
    torch.manual_seed(0)
    conditioner(tiny)({"caption": ["rest"]})
    drawn = torch.randn(3)
    torch.manual_seed(0)
    assert torch.equal(torch.randn(3), drawn)


def test_no_captions_and_no_encoders_are_refused(tiny: Path) -> None:
    with pytest.raises(SdError, match=r"dataset\.caption_column; the dataset has class"):
        SD3Text(SD3TextOptions(pretrained=str(tiny)), LabelSpace(categories={"class": ("a",)}))
    with pytest.raises(SdError, match=r"conditioning\.encoder, or with model\.pretrained"):
        SD3Text(SD3TextOptions(), LABELS)


def test_the_network_is_the_transformer(tiny: Path) -> None:
    """Same weights, same inputs, t as its timestep: the same output; also where the table's middle is narrow."""
    raw = SD3Transformer2DModel.from_pretrained(tiny, subfolder="transformer")
    for shape in (SHAPE, GridShape(16, 4, 256)):
        wrapped = SD35(SD35Options(pretrained=str(tiny)), Task(shape, Condition(40, 48))).eval()
        x, t, vector, tokens = (
            torch.randn(2, *shape),
            torch.tensor([0.03, 0.9]),
            torch.randn(2, 40),
            torch.randn(2, 9, 48),
        )
        expected = raw(x, tokens, vector, 1000 * t).sample
        assert expected.std() > 0.1
        torch.testing.assert_close(wrapped(x, t, vector, tokens), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("scale", [1.0, 3.5])
@pytest.mark.parametrize("t5", [True, False])
def test_sampling_is_the_pipelines(tiny: Path, pipeline: Any, scale: float, t5: bool) -> None:
    """Same latents, prompts and grid (shift 3, the scheduler's own): the same latents out."""
    if not t5:
        pipeline = StableDiffusion3Pipeline(**{**pipeline.components, "text_encoder_3": None, "tokenizer_3": None})
    steps, noise = 5, torch.randn(4, *SHAPE, generator=torch.Generator().manual_seed(3))
    expected = pipeline(
        CAPTIONS,
        latents=noise,
        sigmas=[1 - step / steps for step in range(steps)],
        guidance_scale=scale,
        height=32,
        width=160,
        output_type="latent",
    ).images
    found = sample(network(tiny, t5), noise, steps, scale)
    assert (expected - noise).std() > 0.1
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert (found - sample(network(tiny, t5), noise, steps, scale + 1)).abs().max() > 1e-2


@torch.no_grad()
def sample(net: Network, noise: Tensor, steps: int, scale: float) -> Tensor:
    objective = Flow(FlowOptions(prediction_type="vector_field"))

    def velocity(dropped: bool) -> Any:
        def predict(x: Tensor, t: Tensor) -> Tensor:
            predicted: Tensor = net(x, t, {"caption": CAPTIONS}, dropped=torch.full((len(x),), dropped))
            return predicted

        return lambda x, t, _: objective.velocity(predict, x, torch.full((len(x),), t))

    guided = guide("cfg")(velocity(False), velocity(True), Strength(scale))
    return Euler(SamplerOptions(denoising_steps=steps, shift=3.0))(guided, noise)
