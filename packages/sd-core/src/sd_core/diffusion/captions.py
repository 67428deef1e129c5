"""The conditioner "caption": a sentence as one vector and a few tokens."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from sd_core.diffusion.bytetext import ByteText, MaskedAttention, Reading
from sd_core.diffusion.options import CaptionOptions
from sd_core.errors import SdError
from sd_core.nn.feedforward import SwiGLU, swiglu_width
from sd_core.nn.norms import rms_norm
from sd_core.nn.precision import without_autocast
from sd_core.task import Condition, Conditioning, Labels, LabelSpace

WORD_GAIN = 2.0
"""What the words together are multiplied by in the vector. An optimizer that normalises its steps, as AdamW does, moves
what a network makes of a difference about by the square of that difference over the size of the vector.

Quickstart on the demo corpus (effect_scale 3), one seed: how much of the output near noise (t = .95) changes with the
state asked for: .14 for classes, .02 for words at unit size of the whole vector, .08 at this gain. The price is a
held-out loss of 1.015 instead of .992 (classes: 1.009) and a log-spectral distance of 2.25 dB instead of 1.74."""
_log = logging.getLogger(__name__)


class TextEncoder(Protocol):
    """Sentences to states; an `nn.Module`."""

    unit: str
    """What a length counts: "bytes" or "tokens"."""
    limit: int
    """The longest text that is read whole."""
    remedy: str
    """What to do about longer ones; may name {longest}."""

    def length(self, text: str) -> int:
        """Length of a text."""
        ...

    def prepare(self, texts: Collection[str]) -> None:
        """Compute what can be computed ahead."""
        ...

    def __call__(self, texts: Sequence[str]) -> Reading:
        """B texts to states."""
        ...


class Caption(nn.Module):
    """One vector and `options.tokens` tokens, read from a text encoder's states by learned queries.

    The queries see the states that are there and no others, and their number does not depend on the text: no
    padding ever reaches a network (the resampler of Flamingo, Alayrac 2022, with one layer). Everything is computed
    in float32, where it costs little.

    No caption ("") is the null condition: learned, or the frozen encoders' reading of "".

    Raises:
        SdError: the dataset holds no captions, or a frozen encoder cannot be had.
    """

    roles = frozenset({"caption"})

    def __init__(self, options: CaptionOptions, labels: LabelSpace) -> None:
        super().__init__()
        if "caption" not in labels.texts:
            raise SdError(
                "conditioning 'caption' needs sentences, which this dataset does not have: name a text column with "
                "dataset.caption_column, or write a [conditioning] template"
            )
        self.too_long, self.width, count = options.too_long, options.width, 1 + options.tokens
        self.encoder, learned = _encoder(options)
        # Half of unit size: what one caption says outweighs what every caption is read with.
        self.queries = nn.Parameter(torch.randn(count, self.width) / 2)
        self.unknown = nn.Parameter(torch.randn(count, self.width)) if learned else None
        self.attention = MaskedAttention(self.width)
        self.feedforward = SwiGLU(self.width, swiglu_width(self.width, 4))
        self.kinds: tuple[str, ...] = ("vector", "tokens")
        self.emits = Condition(vector=self.width, tokens=self.width)
        if options.emit is not None:
            self.restrict(frozenset(options.emit))

    def restrict(self, supported: frozenset[str]) -> None:
        """Emit only what the network takes, so that no weight is left without a gradient."""
        kinds = tuple(kind for kind in self.kinds if kind in supported)
        if not kinds or kinds == self.kinds:  # a network that takes neither is refused where that is seen
            return
        rows = slice(0, 1) if kinds == ("vector",) else slice(1, None)
        self.queries = nn.Parameter(self.queries.detach()[rows].clone())
        if self.unknown is not None:
            self.unknown = nn.Parameter(self.unknown.detach()[rows].clone())
        self.kinds = kinds
        self.emits = Condition(**dict.fromkeys(kinds, self.width))

    @property
    def fingerprint(self) -> str | None:
        """Of the frozen encoders; None where the encoder is trained and saved."""
        found: str | None = getattr(self.encoder, "fingerprint", None)
        return found

    def prepare(self, captions: Collection[str]) -> None:
        """Look at captions before the first batch: lengths, and what a frozen encoder can compute once.

        Raises:
            SdError: captions are longer than the encoder takes, unless `too_long = "cut"`; then it is said.
        """
        encoder = self.encoder
        lengths = [encoder.length(caption) for caption in captions]
        if long := [length for length in lengths if length > encoder.limit]:
            sentence = (
                f"{len(long)} of {len(lengths)} different captions are longer than the {encoder.limit} {encoder.unit} "
                f"that the text encoder takes (the longest has {max(long)})"
            )
            if self.too_long == "refuse":
                remedy = encoder.remedy.format(longest=max(long))
                raise SdError(f'{sentence}: {remedy}, or cut them with conditioning.too_long = "cut"')
            _log.warning("%s and are cut there", sentence)
        encoder.prepare(captions)

    def unheard(self, captions: Collection[str], known: Collection[str]) -> list[str]:
        """Words of captions that training never told; none for a frozen encoder, which learned language elsewhere."""
        look = getattr(self.encoder, "unheard", None)
        return look(captions, known) if look is not None else []

    def forward(self, labels: Labels) -> Conditioning:
        """`labels["caption"]`, B strings with "" for missing -> vector (B, width), tokens (B, N, width)."""
        captions: list[str] = labels["caption"]
        null = self._nothing().expand(len(captions), -1, -1)
        missing = torch.tensor([not caption.strip() for caption in captions], device=null.device)
        return self._split(torch.where(missing[:, None, None], null, self._read(captions)))

    def null(self, count: int) -> Conditioning:
        """The one "no caption", `count` times."""
        return self._split(self._nothing().expand(count, -1, -1))

    def _nothing(self) -> Tensor:
        return self._read([""])[0] if self.unknown is None else self.unknown

    def _read(self, captions: Sequence[str]) -> Tensor:
        """(B, queries, width)."""
        with without_autocast(self.queries.device):
            states, there, words = self.encoder(captions)
            queries = self.queries.expand(len(captions), -1, -1)
            read = queries + self.attention(rms_norm(queries), states, there)
            if words is not None:
                read = read + words[:, None]
            read = rms_norm(read + self.feedforward(rms_norm(read)))
            if words is None or "vector" not in self.kinds:
                return read
            return torch.cat([read[:, :1] + WORD_GAIN * words[:, None], read[:, 1:]], dim=1)

    def _split(self, read: Tensor) -> Conditioning:
        if self.kinds == ("vector",):
            return Conditioning(vector=read[:, 0])
        if self.kinds == ("tokens",):
            return Conditioning(tokens=read)
        return Conditioning(vector=read[:, 0], tokens=read[:, 1:])


def _encoder(options: CaptionOptions) -> tuple[TextEncoder, bool]:
    """The text encoder, and whether its null is learned."""
    if options.encoder == options.BYTES:
        return ByteText(options.width, options.layers, options.max_bytes, options.word_rows), True
    from sd_core.diffusion.frozentext import FrozenText  # here, because it needs transformers

    return FrozenText(options.encoders, options.width), False
