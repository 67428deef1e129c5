"""Frozen parts that a network was trained with and no checkpoint stores: a VAE, text encoders.

A checkpoint remembers them by their content, wherever they lie, and refuses others.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sd_core.errors import SdError
from sd_core.run.assemble import Assembly


@dataclass(frozen=True)
class Foreign:
    """A part that may have a `fingerprint`: of its content, or None where it holds nothing frozen."""

    file: str
    """Of a checkpoint: which one its network works with."""
    part: Callable[[Assembly], object]
    what: str
    """What another one is, after "was trained"."""
    remedy: str

    def remember(self, folder: Path, assembly: Assembly) -> None:
        """Write down which one this is."""
        part = self.part(assembly)
        if hasattr(part, "fingerprint"):
            (folder / self.file).write_text(json.dumps({"fingerprint": part.fingerprint}, indent=1), encoding="utf-8")

    def refuse_another(self, folder: Path, assembly: Assembly) -> None:
        """Check that a checkpoint's network meets the one that it was trained with.

        Raises:
            SdError: it has another content, under the same name or not.
        """
        path = folder / self.file
        if not path.is_file():
            return
        before = json.loads(path.read_text(encoding="utf-8"))["fingerprint"]
        now = getattr(self.part(assembly), "fingerprint", None)
        if now != before:
            raise SdError(f"{folder} was trained {self.what} ({str(before)[:12]}, here {str(now)[:12]}): {self.remedy}")


FOREIGN = (
    Foreign(
        "latent_space.json",
        lambda assembly: assembly.codec,
        "in another latent space",
        "what [codec.extras] names has other weights, another scale or precision; set codec.extras.pretrained to the "
        "VAE that it was trained with",
    ),
    Foreign(
        "text_encoders.json",
        lambda assembly: assembly.network.conditioner,
        "with other text encoders",
        "bring them back, or say where they are with conditioning.encoder, or with the model.pretrained that holds "
        "them",
    ),
)
"""All such parts of an assembly."""


def remember_foreign(folder: Path, assembly: Assembly) -> None:
    """Write down in a checkpoint which frozen parts its network works with."""
    for kind in FOREIGN:
        kind.remember(folder, assembly)


def refuse_other_foreign(folder: Path, assembly: Assembly) -> None:
    """Check that a checkpoint's network meets the frozen parts that it was trained with.

    Raises:
        SdError: one of them is another one.
    """
    for kind in FOREIGN:
        kind.refuse_another(folder, assembly)
