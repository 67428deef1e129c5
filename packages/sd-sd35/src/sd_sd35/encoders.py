"""The frozen text encoders of Stable Diffusion 3, called as its pipeline calls them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sd_core.nn.precision import without_autocast
from sd_core.plugin import SdError

CLIPS = (("text_encoder", "tokenizer"), ("text_encoder_2", "tokenizer_2"))
"""Parts of CLIP-L and CLIP-G: encoder, tokenizer."""
T5 = ("text_encoder_3", "tokenizer_3")


def encoder_parts(t5: bool) -> tuple[str, ...]:
    """The subfolders that the encoders need."""
    return tuple(part for pair in (*CLIPS, *((T5,) if t5 else ())) for part in pair)


@dataclass(frozen=True)
class Widths:
    """Sizes of what the encoders make of a text; the defaults are those of every published SD3."""

    pooled: int = 2048
    """CLIP-L's and CLIP-G's pooled text, side by side."""
    joint: int = 4096
    """A token: T5's states, or CLIP's padded with zeros."""
    clip: int = 2048
    """CLIP-L's and CLIP-G's states, side by side."""
    length: int = 77
    """Tokens of CLIP."""


def read_widths(folder: Path, t5: bool) -> Widths:
    """The widths of the encoders in a folder.

    Without T5, the transformer's config beside them says how wide tokens are, as in the pipeline.
    """
    clips = [_config(folder, part) for part, _ in CLIPS]
    clip = sum(config["hidden_size"] for config in clips)
    joint = Widths.joint
    if t5:
        joint = _config(folder, T5[0])["d_model"]
    elif (folder / "transformer" / "config.json").is_file():
        joint = _config(folder, "transformer")["joint_attention_dim"]
    if joint < clip:
        raise SdError(f"the text encoders in {folder} do not belong together: CLIP's {clip} is wider than {joint}")
    length = clips[0].get("max_position_embeddings", Widths.length)
    return Widths(sum(config["projection_dim"] for config in clips), joint, clip, length)


def _config(folder: Path, part: str) -> Mapping[str, Any]:
    path = folder / part / "config.json"
    if not path.is_file():
        raise SdError(f"{folder} holds no {part}/config.json, which says what {part} is")
    config: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return config


def files_hash(folder: Path, parts: Sequence[str]) -> str:
    """Hash of all files of these parts, names and content; files of the hub's cache are named by theirs."""
    return _hash_of(path for part in parts for path in (folder / part).iterdir() if path.is_file())


def weight_files_hash(folder: Path, parts: Sequence[str]) -> str:
    """Hash of the weights that are read: configs name versions and paths, and may differ where the encoder does not."""
    found = (path for part in parts for path in (folder / part).glob("*.safetensors"))
    return _hash_of(path for path in found if ".fp16" not in path.name)


def _hash_of(files: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(f"{path.parent.name}/{path.name}:{_content_hash(path)};".encode())
    return digest.hexdigest()


def _content_hash(path: Path) -> str:
    blob = path.resolve()
    if path.is_symlink() and blob.parent.name == "blobs" and len(blob.name) == 64:
        return blob.name
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Encoders:
    """CLIP-L, CLIP-G and optionally T5, in float32 on one device.

    Raises:
        SdError: a part cannot be loaded.
    """

    def __init__(self, folder: Path, t5_length: int | None, device: torch.device) -> None:
        from transformers import CLIPTextModelWithProjection, CLIPTokenizer, T5EncoderModel, T5TokenizerFast
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()  # a bar per encoder would stand in the middle of a training's lines

        def load(loader: Any, part: str, **settings: Any) -> Any:
            try:
                return loader.from_pretrained(folder / part, local_files_only=True, **settings)
            except (OSError, ValueError) as error:
                raise SdError(f"{folder / part} cannot be read: {str(error).splitlines()[0]}") from error

        def encoder(loader: Any, part: str) -> Any:
            return load(loader, part, dtype=torch.float32).eval().requires_grad_(False).to(device)

        with torch.random.fork_rng(devices=[]):  # a training's random numbers do not depend on this cache
            self._clips = [
                (load(CLIPTokenizer, tokens), encoder(CLIPTextModelWithProjection, part)) for part, tokens in CLIPS
            ]
            self._t5 = (load(T5TokenizerFast, T5[1]), encoder(T5EncoderModel, T5[0])) if t5_length else None
        self._t5_length = t5_length or 0
        self._device = device
        self._length: int = self._clips[0][0].model_max_length

    @torch.no_grad()
    def __call__(self, texts: Sequence[str]) -> list[dict[str, Tensor]]:
        """For each text: pooled (P,), clip (77, C), with T5 also t5 (t5_length, J); cut: whether CLIP saw all of it."""
        with without_autocast(self._device):
            return [self._encode(text) for text in texts]

    def _encode(self, text: str) -> dict[str, Tensor]:
        pooled, states = zip(*(self._clip(text, *pair) for pair in self._clips), strict=True)
        found = {"pooled": torch.cat(pooled, dim=-1)[0], "clip": torch.cat(states, dim=-1)[0]}
        if self._t5 is not None:
            tokenizer, encoder = self._t5
            found["t5"] = encoder(self._ids(tokenizer, text, self._t5_length))[0][0]
        # One more than fits tells enough, and the tokenizer does not warn of what is cut on purpose.
        beyond = {"truncation": True, "max_length": self._length + 1}
        tokens = max(len(tokenizer(text, **beyond).input_ids) for tokenizer, _ in self._clips)
        return {**found, "cut": torch.tensor(tokens > self._length)}

    def _clip(self, text: str, tokenizer: Any, encoder: Any) -> tuple[Tensor, Tensor]:
        """Pooled text (1, P), and the states below the last layer (1, 77, C)."""
        output = encoder(self._ids(tokenizer, text, self._length), output_hidden_states=True)
        return output[0], output.hidden_states[-2]

    def _ids(self, tokenizer: Any, text: str, length: int) -> Tensor:
        made = tokenizer([text], padding="max_length", max_length=length, truncation=True, return_tensors="pt")
        ids: Tensor = made.input_ids.to(self._device)
        return ids
