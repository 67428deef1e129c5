"""Frozen text encoders by hub id or folder; what they make of a caption is kept on disk."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor

from sd_core.diffusion.bytetext import Reading
from sd_core.errors import SdError
from sd_core.nn.artefacts import Shelf, weights_hash
from sd_core.nn.hub import why_absent

_log = logging.getLogger(__name__)
_FAILURES = (OSError, ValueError, RuntimeError, ImportError, KeyError, SafetensorError)
"""What transformers raises for models that are absent, gated, damaged or of a kind it does not know."""
_LONGEST = 512
"""Tokens of a caption where the model names no limit (T5's positions are relative)."""
_PER_PASS = 64
"""Captions that are encoded before they are written to disk: no dataset's states ever lie in memory together."""
_TEXT_HALVES: Mapping[str, str] = {"clip": "CLIPTextModel", "siglip": "SiglipTextModel"}
"""Kind of a model of text and pictures -> the class of its text half."""


class FrozenText(nn.Module):
    """The states of one or more frozen encoders, each through a learned projection, one after the other.

    The encoders are no part of the module: they are not trained, averaged or saved. They are in memory only while
    there are captions that they have not read yet.

    Args:
        names: Hub ids or folders.
        width: Of the states.

    Raises:
        SdError: transformers is not installed, or a model cannot be had.
    """

    unit = "tokens"
    remedy = "shorten them"

    def __init__(self, names: Sequence[str], width: int) -> None:
        super().__init__()
        self._readers = [Reader(name) for name in names]
        self.limit = min(reader.limit for reader in self._readers)
        self.projections = nn.ModuleList(nn.Linear(reader.width, width, bias=False) for reader in self._readers)

    @property
    def fingerprint(self) -> str:
        """Of all the encoders' weights, in order."""
        return "-".join(reader.fingerprint for reader in self._readers)

    def length(self, text: str) -> int:
        """Tokens of a text, for the encoder that makes most of them."""
        return max(reader.length(text) for reader in self._readers)

    def prepare(self, texts: Collection[str]) -> None:
        """Encode what is not on disk yet, then let the encoders go."""
        distinct = list(dict.fromkeys(["", *texts]))
        for reader in self._readers:
            for start in range(0, len(distinct), _PER_PASS):
                reader.states(distinct[start : start + _PER_PASS], self._weight().device)
            reader.release()

    def forward(self, texts: Sequence[str]) -> Reading:
        """B texts; L counts the tokens of all encoders."""
        parts = [_padded(self._states(reader, texts), self._weight().device) for reader in self._readers]
        projected = [project(states) for project, (states, _) in zip(self.projections, parts, strict=True)]
        return Reading(torch.cat(projected, dim=1), torch.cat([there for _, there in parts], dim=1))

    def _weight(self) -> Tensor:
        weight: Tensor = self.projections[0].weight  # type: ignore[assignment]
        return weight

    def _states(self, reader: Reader, texts: Sequence[str]) -> list[Tensor]:
        if isinstance(self._weight(), FakeTensor):  # only shapes are asked for: a dry run
            return [torch.zeros(reader.limit, reader.width)] * len(texts)
        return reader.states(texts, self._weight().device)


class Reader:
    """One frozen encoder with its tokenizer.

    Raises:
        SdError: transformers is not installed, or the model cannot be had.
    """

    def __init__(self, name: str) -> None:
        _require_transformers(name)
        from transformers import AutoConfig, AutoTokenizer

        self.name = name
        try:
            self._config: Any = AutoConfig.from_pretrained(name)
            self._tokenizer: Any = AutoTokenizer.from_pretrained(_tokenizer_of(name))
        except _FAILURES as error:
            raise _absent(name, error) from error
        text = self._config.get_text_config()
        self.width: int = text.hidden_size
        places = getattr(text, "max_position_embeddings", None) or _LONGEST
        self.limit: int = min(self._tokenizer.model_max_length, places, _LONGEST)
        self._model: nn.Module | None = None
        self._shelf: Shelf | None = None
        self._codes: dict[str, str] = {}

    @cached_property
    def fingerprint(self) -> str:
        """Of the weights, wherever they lie."""
        return weights_hash(self._loaded())

    def length(self, text: str) -> int:
        """Tokens of a text, begin and end included."""
        return len(self._tokenizer(text, verbose=False)["input_ids"])

    def states(self, texts: Sequence[str], device: torch.device) -> list[Tensor]:
        """The last hidden states of each text's own tokens, (tokens, width) float32 on the CPU.

        Each text is encoded alone: no padding, and the same bits whatever else is asked for.
        """
        if self._shelf is None:
            recipe = {"weights": self.fingerprint, "model": type(self._loaded()).__name__}
            self._shelf = Shelf("caption-states", recipe)
        entries = self._shelf.take([self._code(text) for text in texts], lambda codes: self._encode(codes, device))
        return [entry["states"].float() for entry in entries]

    def release(self) -> None:
        """Free the encoder's memory; it is loaded again when a new text comes."""
        self._model = None

    def _code(self, text: str) -> str:
        """The text's tokens as JSON: what the states follow from, beside the weights."""
        if text not in self._codes:
            tokens = self._tokenizer(text, truncation=True, max_length=self.limit)["input_ids"]
            self._codes[text] = json.dumps(tokens)
        return self._codes[text]

    @torch.no_grad()
    def _encode(self, codes: Sequence[str], device: torch.device) -> list[dict[str, Tensor]]:
        model = self._loaded().to(device)
        _log.info("%s reads %d captions", self.name, len(codes))
        with torch.autocast(device.type, enabled=False):
            return [
                {"states": model(input_ids=torch.tensor([json.loads(code)], device=device)).last_hidden_state[0].cpu()}
                for code in codes
            ]

    def _loaded(self) -> nn.Module:
        if self._model is None:
            try:
                self._model = _text_model(self.name, self._config)
            except _FAILURES as error:
                raise _absent(self.name, error) from error
            self._model.requires_grad_(False).eval()
        return self._model


def _padded(states: Sequence[Tensor], device: torch.device) -> tuple[Tensor, Tensor]:
    """(B, L, width) zero where a text has ended, and where it has not (B, L)."""
    lengths = torch.tensor([len(rows) for rows in states])
    whole = torch.nn.utils.rnn.pad_sequence(list(states), batch_first=True)
    there = torch.arange(whole.shape[1]) < lengths[:, None]
    return whole.to(device, non_blocking=True), there.to(device, non_blocking=True)


def _text_model(name: str, config: Any) -> nn.Module:
    """The text half of whatever the folder holds."""
    import transformers
    from transformers import AutoModel, AutoModelForTextEncoding
    from transformers.models.auto.modeling_auto import MODEL_FOR_TEXT_ENCODING_MAPPING

    if half := _TEXT_HALVES.get(config.model_type):
        found: Any = getattr(transformers, half).from_pretrained(name)
        return found  # type: ignore[no-any-return]
    kind: Any = AutoModelForTextEncoding if type(config) in MODEL_FOR_TEXT_ENCODING_MAPPING else AutoModel
    model = kind.from_pretrained(name)
    return model.get_encoder() if config.is_encoder_decoder and kind is AutoModel else model  # type: ignore[no-any-return]


def _tokenizer_of(name: str) -> str:
    """Where the tokenizer is: with the model, or in the folder that diffusers' pipelines put beside `text_encoder`."""
    folder = Path(name)
    beside = folder.with_name(folder.name.replace("text_encoder", "tokenizer")) if folder.name else folder
    return str(beside) if "text_encoder" in folder.name and beside.is_dir() else name


def _require_transformers(name: str) -> None:
    from importlib.util import find_spec

    if find_spec("transformers") is None:
        raise SdError(f"conditioning 'caption' with encoder '{name}' needs transformers: pip install 'sd-core[text]'")


def _absent(name: str, error: BaseException) -> SdError:
    return SdError(
        f"conditioning.encoder: the text encoder '{name}' cannot be had ({why_absent(name, error)}); without the hub, "
        "name a folder that holds config.json, model.safetensors and the tokenizer's files, or take encoder = "
        '"bytes", which needs none'
    )
