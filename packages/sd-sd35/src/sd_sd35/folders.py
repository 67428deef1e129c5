"""A pretrained pipeline on this disk: a folder, or what the hub's cache holds of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from torch._subclasses.fake_tensor import FakeTensor

from sd_core.nn.hub import could_be_on_hub, why_absent
from sd_core.plugin import SdError

LAYOUT = (
    "transformer/, vae/, text_encoder/, text_encoder_2/, tokenizer/, tokenizer_2/ and scheduler/, for T5 also "
    "text_encoder_3/ and tokenizer_3/, and model_index.json, as diffusers' save_pretrained writes them"
)
"""What a folder for `pretrained` holds."""


def locate(source: str, revision: str | None, parts: Sequence[str], key: str) -> Path:
    """The folder that holds these parts of a pipeline; a hub id is downloaded, or taken from the cache.

    Args:
        source: Folder or hub id.
        revision: On the hub.
        parts: Subfolders that are needed, such as ("transformer",).
        key: Key of the config that names the source.

    Raises:
        SdError: the folder lacks a part, or the hub does not give it: gated, unknown, or out of reach.
    """
    folder = Path(source).expanduser()
    if not folder.is_dir():
        folder = _from_hub(source, revision, parts, key)
    lacking = [part for part in parts if not (folder / part).is_dir()]
    if lacking:
        raise SdError(f"{key} = {source!r} holds no {', '.join(lacking)}: a folder that works has {LAYOUT}")
    return folder


def _from_hub(source: str, revision: str | None, parts: Sequence[str], key: str) -> Path:
    patterns = ["model_index.json"]
    for part in parts:
        patterns += [f"{part}/*.json", f"{part}/*.txt", f"{part}/*.model", f"{part}/*.safetensors"]
    try:
        found = snapshot_download(source, revision=revision, allow_patterns=patterns, ignore_patterns=["*.fp16*"])
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        gated = "for a gated model accept its licence on the hub and log in (`hf auth login`), or, offline, "
        raise SdError(
            f"{key} = {source!r} cannot be had ({why_absent(source, error)}); "
            f"{gated if could_be_on_hub(source) else ''}name a folder with {LAYOUT}"
        ) from error
    return Path(found)


def is_hollow() -> bool:
    """Whether tensors made now have shapes and no numbers: the meta device, or `sd-train --dry-run`."""
    probe = torch.empty(0)
    return probe.is_meta or isinstance(probe, FakeTensor)
