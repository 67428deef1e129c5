"""Frozen text encoders as captions' readers, on tiny random models in folders."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch._subclasses.fake_tensor import FakeTensorMode

from sd_core.config.read import read_run
from sd_core.diffusion import frozentext
from sd_core.diffusion.captions import Caption
from sd_core.diffusion.options import CaptionOptions
from sd_core.errors import SdError
from sd_core.run.dryrun import describe_run
from sd_core.run.sample import generate, load_run
from sd_core.run.train import train
from sd_core.task import Labels, LabelSpace
from sd_core.testing.conditioner import ConditionerContract
from sd_core.testing.toys import toy_config, toy_registry, write_toy_windows

transformers = pytest.importorskip("transformers")
SPACE = LabelSpace(texts=frozenset({"caption"}))
WORDS = ("[pad]", "[unk]", "[begin]", "[end]", "eeg", "of", "a", "woman", "man", "at", "rest")
CAPTIONS = ["eeg of a woman at rest", "eeg", "eeg of a man"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing of another test is reused."""
    monkeypatch.setenv("SIGNAL_DIFFUSION_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model("BertModel", tmp_path_factory.mktemp("models") / "bert")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As in a diffusers pipeline: the tokenizer stands in a folder of its own."""
    folder = tmp_path_factory.mktemp("pipeline")
    write_model("CLIPTextModel", folder / "text_encoder_2", tokenizer=folder / "tokenizer_2")
    return folder / "text_encoder_2"


def write_model(name: str, folder: Path, tokenizer: Path | None = None, seed: int = 0) -> Path:
    """A tiny random model with a tokenizer of a few words."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    words = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="[unk]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.TemplateProcessing(
        single="[begin] $A [end]", special_tokens=[("[begin]", 2), ("[end]", 3)]
    )
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=words, pad_token="[pad]", model_max_length=12)
    fast.save_pretrained(tokenizer or folder)
    torch.manual_seed(seed)
    kind = getattr(transformers, name)
    config = kind.config_class(
        vocab_size=len(WORDS),
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=12,
        bos_token_id=2,
        eos_token_id=3,
        pad_token_id=0,
    )
    kind(config).save_pretrained(folder)
    return folder


def frozen(*encoders: Path, **options: Any) -> Caption:
    torch.manual_seed(0)
    names = tuple(map(str, encoders))
    values = {"encoder": names[0] if len(names) == 1 else names, "width": 8, "tokens": 2, **options}
    return Caption(CaptionOptions.model_validate(values), SPACE)


class TestFrozen(ConditionerContract):
    @pytest.fixture(autouse=True)
    def _models(self, bert: Path, clip: Path) -> None:
        self.encoders = (bert, clip)

    def conditioner(self) -> Caption:
        return frozen(*self.encoders)

    def labels(self) -> Labels:
        return {"caption": CAPTIONS}

    def missing(self) -> Labels:
        return {"caption": [""] * 3}


def test_the_encoder_is_neither_trained_nor_saved(bert: Path) -> None:
    conditioner = frozen(bert)
    conditioner({"caption": CAPTIONS})
    sizes = {name: tuple(p.shape) for name, p in conditioner.named_parameters()}
    assert sizes.pop("encoder.projections.0.weight") == (8, 16)
    assert all(max(shape) <= 2 * 64 for shape in sizes.values())
    assert not any("bert" in name.lower() or "embeddings" in name for name in conditioner.state_dict())


def test_null_is_the_reading_of_no_words(bert: Path) -> None:
    conditioner = frozen(bert)
    null = conditioner.null(1)
    assert null.vector is not None
    read = conditioner._read([""])
    assert torch.equal(null.vector, read[:, 0])


def test_captions_are_read_once_and_other_weights_never_reused(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frozen(bert).prepare(CAPTIONS)
    first = frozen(bert)({"caption": CAPTIONS}).vector
    asked: list[int] = []
    encode = frozentext.Reader._encode

    def counted(reader: frozentext.Reader, codes: Sequence[str], device: torch.device) -> list[dict[str, torch.Tensor]]:
        asked.append(len(codes))
        return encode(reader, codes, device)

    monkeypatch.setattr(frozentext.Reader, "_encode", counted)
    again = frozen(bert)({"caption": CAPTIONS}).vector
    assert first is not None
    assert again is not None
    assert torch.equal(first, again)
    assert asked == []
    frozen(write_model("BertModel", tmp_path / "other", seed=1)).prepare(CAPTIONS)
    assert asked == [4]


def test_many_captions_are_written_as_they_are_read(bert: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encode = frozentext.Reader._encode
    kept: list[tuple[int, int]] = []

    def counted(reader: frozentext.Reader, codes: Sequence[str], device: torch.device) -> list[dict[str, torch.Tensor]]:
        kept.append((len(codes), len(list(cache.rglob("*.safetensors")))))
        return encode(reader, codes, device)

    monkeypatch.setattr(frozentext.Reader, "_encode", counted)
    conditioner = frozen(bert)
    conditioner.prepare([" ".join(words) for words in product(WORDS[4:], repeat=2)] + CAPTIONS[:1])
    assert kept == [(50 + 1, 0)]
    kept.clear()
    conditioner.prepare([" ".join(words) for words in product(WORDS[4:], repeat=3)])
    assert [written for _, written in kept] == [51 + sum(n for n, _ in kept[:before]) for before in range(len(kept))]
    assert max(count for count, _ in kept) <= 64


def test_a_dry_run_reads_nothing(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frozentext, "_text_model", lambda *_: pytest.fail("loaded"))
    with FakeTensorMode(allow_non_fake_inputs=True):
        conditioning = frozen(bert)({"caption": [""] * 2})
    assert conditioning.tokens is not None
    assert conditioning.tokens.shape == (2, 2, 8)


def test_a_long_caption_is_counted_in_tokens(bert: Path) -> None:
    with pytest.raises(SdError, match=r"1 of 2 .* 12 tokens .*longest has 14.*shorten them"):
        frozen(bert).prepare(["eeg", "a " * 12])
    frozen(bert, too_long="cut").prepare(["eeg", "a " * 12])


def test_a_model_that_is_not_there_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SdError, match=r'cannot be had.*config\.json.*encoder = "bytes"'):
        frozen(tmp_path)
    with pytest.raises(SdError, match=r"no such folder"):
        frozen(tmp_path / "nowhere")
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(SdError, match=r"needs transformers: pip install 'sd-core\[text\]'"):
        frozen(tmp_path)


def test_the_bytes_encoder_needs_no_transformers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    assert Caption(CaptionOptions(), SPACE).null(1).vector is not None


def test_a_run_goes_all_the_way_with_a_frozen_encoder(tmp_path: Path, bert: Path) -> None:
    registry = toy_registry()
    path = tmp_path / "run.toml"
    path.write_text(
        toy_config(
            write_toy_windows(tmp_path / "data"),
            model={"conditioning": "caption"},
            conditioning={"encoder": str(bert), "width": 8},
        )
    )
    assert "caption    2 different, the longest 'EEG, arithmetic'" in describe_run(
        read_run(path, (), registry), registry
    )
    train(read_run(path, (), registry), tmp_path / "run", registry=registry)
    half = ("training.max_train_steps=2",)
    train(read_run(path, half, registry), tmp_path / "halves", registry=registry)
    train(read_run(path, (), registry), tmp_path / "halves", resume_from="latest", registry=registry)
    one, other = (load_file(tmp_path / name / "checkpoint-4" / "model.safetensors") for name in ("run", "halves"))
    assert all(torch.equal(one[name], other[name]) for name in one)
    windows = generate(load_run(tmp_path / "run", registry=registry), 2, given=[{"caption": "eeg of a man"}])
    assert bool(torch.from_numpy(windows.signal).isfinite().all())


def test_a_run_knows_its_encoders_wherever_they_lie(tmp_path: Path, bert: Path) -> None:
    registry, path = toy_registry(), tmp_path / "run.toml"
    tables: dict[str, Any] = {"model": {"name": "toy", "conditioning": "caption"}}
    tables["conditioning"] = {"encoder": str(bert), "width": 8}
    path.write_text(toy_config(write_toy_windows(tmp_path / "data"), **tables))
    train(read_run(path, ("training.max_train_steps=1",), registry), tmp_path / "run", registry=registry)
    moved = f"conditioning.encoder={write_model('BertModel', tmp_path / 'moved')}"
    other = f"conditioning.encoder={write_model('BertModel', tmp_path / 'other', seed=1)}"
    with pytest.raises(SdError, match=r"was trained with other text encoders \(.*conditioning.encoder"):
        load_run(tmp_path / "run", (other,), registry=registry)
    for wrong in (other, "conditioning.encoder=bytes"):
        with pytest.raises(SdError, match="was trained with other text encoders"):
            train(read_run(path, (wrong,), registry), tmp_path / "run", resume_from="latest", registry=registry)
    load_run(tmp_path / "run", (moved,), registry=registry)
    train(read_run(path, (moved,), registry), tmp_path / "run", resume_from="latest", registry=registry)
