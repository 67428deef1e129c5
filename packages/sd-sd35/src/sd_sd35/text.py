"""The conditioner `sd3-text`: captions through Stable Diffusion 3's own text encoders."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sd_core.nn.artefacts import Shelf
from sd_core.plugin import Condition, Conditioning, Labels, LabelSpace, SdError
from sd_sd35.encoders import Encoders, Widths, encoder_parts, files_hash, read_widths, weight_files_hash
from sd_sd35.folders import is_hollow, locate
from sd_sd35.options import SD3TextOptions

PATIENCE = 50
"""Batches without a new caption after which the encoders leave memory."""
_log = logging.getLogger(__name__)


class SD3Text(nn.Module):
    """Captions to the pooled text and the text states of Stable Diffusion 3, as its pipeline builds them.

    vector: the pooled texts of CLIP-L and CLIP-G, side by side (2048). tokens: their states (77 x 2048)
    padded with zeros to T5's width (4096), then T5's states or 256 zeros in their place: 333 in all. No
    condition, and no caption, is the encoding of "".

    The encoders are frozen and no part of the network: they load when a text is new, and what they make of
    it is kept on disk (`sd_core.nn.artefacts`).

    Raises:
        SdError: the dataset has no captions, or the encoders cannot be had.
    """

    roles = frozenset({"caption"})
    place: Tensor

    def __init__(self, options: SD3TextOptions, labels: LabelSpace) -> None:
        super().__init__()
        _check_captions(labels)
        self._options = options
        self._folder = _folder(options)
        self._widths = Widths() if self._folder is None else read_widths(self._folder, options.t5)
        self.emits = Condition(vector=self._widths.pooled, tokens=self._widths.joint)
        self.register_buffer("place", torch.zeros(()), persistent=False)  # follows the network to its device
        self._encoders: Encoders | None = None
        self._quiet = 0
        self._cut: set[str] = set()

    def forward(self, labels: Labels) -> Conditioning:
        """`labels["caption"]`, B strings -> vector (B, pooled), tokens (B, 333, joint)."""
        return self._conditioning(labels["caption"])

    def null(self, count: int) -> Conditioning:
        """The encoding of "", `count` times."""
        one = self._conditioning([""])
        assert one.vector is not None
        assert one.tokens is not None
        return Conditioning(vector=one.vector.expand(count, -1), tokens=one.tokens.expand(count, -1, -1))

    def prepare(self, captions: Collection[str]) -> None:
        """Encode all captions of a dataset at once, say how many are cut, and let the encoders go."""
        distinct = list(dict.fromkeys(["", *captions]))
        for start in range(0, len(distinct), 64):
            self._entries(distinct[start : start + 64], say=False)
        if cut := self._cut.intersection(distinct):  # of these captions, not of another split's before
            _log.warning(
                "%d of %d captions are longer than the %d tokens that CLIP takes and are cut there, as the pipeline "
                "cuts them",
                len(cut),
                len(distinct) - 1,
                self._widths.length,
            )
        self._encoders = None

    @cached_property
    def fingerprint(self) -> str | None:
        """Of the encoders' weights, wherever they lie; None where there are only sizes."""
        return None if self._folder is None else weight_files_hash(self._folder, encoder_parts(self._options.t5))

    def _conditioning(self, captions: Sequence[str]) -> Conditioning:
        if is_hollow() or self._folder is None:
            return self._shapes(len(captions))
        entries = self._entries(captions)
        vector = self._stack(entries, "pooled")
        clip = F.pad(self._stack(entries, "clip"), (0, self._widths.joint - self._widths.clip))
        rest = self._stack(entries, "t5") if self._options.t5 else self._zeros(len(clip), self._options.t5_length)
        return Conditioning(vector=vector, tokens=torch.cat([clip, rest], dim=1))

    def _stack(self, entries: Sequence[Mapping[str, Tensor]], name: str) -> Tensor:
        return torch.stack([entry[name] for entry in entries]).to(self.place.device, torch.float32)

    def _zeros(self, count: int, length: int) -> Tensor:
        return torch.zeros(count, length, self._widths.joint, device=self.place.device)

    def _shapes(self, count: int) -> Conditioning:
        """What a run would see, without any text."""
        vector = torch.zeros(count, self._widths.pooled)
        return Conditioning(
            vector=vector, tokens=torch.zeros(count, self._widths.length + self._options.t5_length, self._widths.joint)
        )

    def _entries(self, captions: Sequence[str], *, say: bool = True) -> list[Mapping[str, Tensor]]:
        self._quiet += 1
        entries = self._shelf.take(captions, self._encode)
        if self._quiet > PATIENCE:
            self._encoders = None
        cut = {text for text, entry in zip(captions, entries, strict=True) if entry["cut"]}
        if say and cut and not self._cut:
            _log.warning(
                "%d of the %d captions of this batch are longer than the %d tokens that CLIP takes and are cut there, "
                "as the pipeline cuts them; later ones are cut without a word",
                len(cut),
                len(captions),
                self._widths.length,
            )
        self._cut |= cut
        return entries

    def _encode(self, texts: Sequence[str]) -> list[dict[str, Tensor]]:
        self._quiet = 0
        if self._encoders is None:
            assert self._folder is not None
            length = self._options.t5_length if self._options.t5 else None
            self._encoders = Encoders(self._folder, length, self.place.device)
        return self._encoders(texts)

    @cached_property
    def _shelf(self) -> Shelf:
        """The texts of these encoders, and of no others."""
        assert self._folder is not None
        options = self._options
        recipe = {
            "form": "sd3-text 1",
            "files": files_hash(self._folder, encoder_parts(options.t5)),
            "t5_length": options.t5_length if options.t5 else None,
        }
        return Shelf("sd3-text", recipe)


def encoder_source(options: SD3TextOptions) -> tuple[str, str | None, str]:
    """Where the text encoders are: a folder or hub id, its revision, and the key of the config that says it.

    Raises:
        SdError: nothing says it.
    """
    if options.encoder is not None:
        return options.encoder, options.encoder_revision, "conditioning.encoder"
    if options.pretrained is not None:
        return options.pretrained, options.revision, "model.pretrained"
    raise SdError(
        "conditioning 'sd3-text' needs text encoders: name a hub id or a folder with conditioning.encoder, or with "
        "model.pretrained"
    )


def _folder(options: SD3TextOptions) -> Path | None:
    """The encoders' folder; None on tensors without numbers where it cannot be had."""
    source, revision, key = encoder_source(options)
    try:
        return locate(source, revision, encoder_parts(options.t5), key)
    except SdError as error:
        if not is_hollow():
            raise
        _log.warning("%s; sizes below are those of the published encoders", error)
        return None


def _check_captions(labels: LabelSpace) -> None:
    if "caption" not in labels.texts:
        there = sorted({*labels.categories, *labels.numbers})
        raise SdError(
            "conditioning 'sd3-text' needs captions, which this dataset does not have: name a text column with "
            f"dataset.caption_column; the dataset has {', '.join(there) or 'no labels'}"
        )
