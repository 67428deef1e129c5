"""Latents kept on disk between runs."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from filelock import FileLock
from numpy.typing import NDArray
from torch import nn

from sd_core.config.read import Run
from sd_core.nn.artefacts import cache_errors, recipe_folder, weights_hash
from sd_core.registry import Registry
from sd_core.run.assemble import Assembly
from sd_core.run.console import counting
from sd_core.run.data import Split
from sd_core.run.latent_table import LatentTable

_VALUES, _SEAL = "latents.npy", "seal.json"
_PER_PASS = 1024
"""Channels of examples that are encoded between two ticks of the progress line: about 16 MB of 64 x 64 pictures."""
_log = logging.getLogger(__name__)


def keep_latents(run: Run, registry: Registry, train: Split, assembly: Assembly, device: torch.device) -> Split:
    """The train split with its latents at hand, where the codec asks for it; encoded now if no run has done so.

    The latents are found again by the split's content, the representation with its statistics and the codec's
    fingerprint; another of any of these encodes anew. Of several processes one encodes and the others wait.

    Raises:
        SdError: the cache cannot be written.
    """
    if not getattr(assembly.codec, "keeps_latents", False):
        return train
    folder = recipe_folder("latents", latent_recipe(run, registry, assembly)) / train.source.fingerprint
    with cache_errors(folder), FileLock(folder.with_name(f"{folder.name}.lock")):
        if not _whole(folder):
            count = len(train.source) * assembly.representation.parts
            _build(folder, (count, *assembly.codec.shape), lambda: _encoded(train, assembly, device))
    return replace(train, latents=LatentTable(folder / _VALUES))


def latent_recipe(run: Run, registry: Registry, assembly: Assembly) -> Mapping[str, Any]:
    """Everything besides the windows that latents follow from."""
    representation, codec = run.config.data.representation, run.config.codec.name
    return {
        "representation": [
            type(assembly.representation).__name__,  # stored pictures stand in for whatever is named
            representation,
            registry.version_of("representations", representation),
            run.options["representations"].model_dump(mode="json"),
            weights_hash(cast(nn.Module, assembly.representation)),
        ],
        "codec": [
            codec,
            registry.version_of("codecs", codec),
            getattr(assembly.codec, "fingerprint", None),
            list(assembly.codec.shape),
        ],
    }


@torch.no_grad()
def _encoded(train: Split, assembly: Assembly, device: torch.device) -> Iterator[NDArray[np.float32]]:
    """Latents of all examples in order, some windows at a time: always the same ones together."""
    windows = len(train.source)
    step = max(1, _PER_PASS // (assembly.representation.shape.channels * assembly.representation.parts))
    with counting("encoding latents, once", windows) as tick:
        for start in range(0, windows, step):
            rows = range(start, min(start + step, windows))
            x = assembly.representation.encode(torch.from_numpy(train.fetch(list(rows))).to(device))
            yield assembly.codec.encode(x).cpu().numpy()
            tick(len(rows))


def _build(folder: Path, shape: tuple[int, ...], encoded: Callable[[], Iterator[NDArray[np.float32]]]) -> None:
    """Write the table beside its place, seal it, rename it: `folder` is whole or absent."""
    _log.warning("encoding the %d latents of the train split once, into %s", shape[0], folder)
    scratch = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}")
    try:
        scratch.mkdir()
        values = np.lib.format.open_memmap(scratch / _VALUES, mode="w+", dtype=np.float32, shape=shape)
        done = 0
        for some in encoded():
            values[done : done + len(some)] = some
            done += len(some)
        assert done == len(values), f"{done} latents of {len(values)} examples"
        values.flush()
        del values
        (scratch / _SEAL).write_text(_seal(scratch / _VALUES), encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        scratch.rename(folder)
    except OSError:
        if not _whole(folder):  # otherwise another process was faster where locks do not work: its copy serves as well
            raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _whole(folder: Path) -> bool:
    """Whether the table stands as it was sealed; one that does not is said to be encoded again."""
    if not (folder / _SEAL).is_file() or not (folder / _VALUES).is_file():
        return False
    whole = (folder / _SEAL).read_text(encoding="utf-8", errors="replace") == _seal(folder / _VALUES)
    if not whole:
        _log.warning("the latents in %s are damaged: encoding them again", folder)
    return whole


def _seal(path: Path) -> str:
    with path.open("rb") as file:
        facts = {"bytes": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}
    return json.dumps(facts)
