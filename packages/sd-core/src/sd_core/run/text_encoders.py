"""Which frozen text encoders a checkpoint's network was told by; they are never stored themselves."""

from __future__ import annotations

import json
from pathlib import Path

from sd_core.errors import SdError
from sd_core.protocols import Conditioner

TEXT_ENCODERS = "text_encoders.json"


def write_text_encoders(folder: Path, conditioner: Conditioner) -> None:
    """Remember the encoders of a conditioner that has such a `fingerprint`, also that it has none inside (None)."""
    if hasattr(conditioner, "fingerprint"):
        content = {"fingerprint": conditioner.fingerprint}
        (folder / TEXT_ENCODERS).write_text(json.dumps(content, indent=1), encoding="utf-8")


def refuse_other_text_encoders(folder: Path, conditioner: Conditioner) -> None:
    """Check that a checkpoint's network meets the text states that it was trained with.

    Raises:
        SdError: the encoders have other weights, wherever they lie.
    """
    path = folder / TEXT_ENCODERS
    if not path.is_file():
        return
    before = json.loads(path.read_text(encoding="utf-8"))["fingerprint"]
    now = getattr(conditioner, "fingerprint", None)
    if now != before:
        raise SdError(
            f"{folder} was trained with other text encoders ({str(before)[:12]}, here {str(now)[:12]}): bring them "
            "back, or say where they are with conditioning.encoder, or with the model.pretrained that holds them"
        )
