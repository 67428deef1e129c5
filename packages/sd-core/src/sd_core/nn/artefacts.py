"""What frozen networks make of the data, kept on disk between runs: text states, latents.

An artefact follows from three things: the content that was encoded, how it was prepared, and the weights
of the encoder. The last two are the *recipe*, any JSON with a `weights_hash` in it; each recipe has its own
folder, so that another recipe rebuilds and never reuses. The content names the entry inside. Every file is
written beside its place and renamed, and carries what is needed to tell whether it is whole; one that is
not is made again. Any number of processes may read and write at once.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from sd_core.disk import whole_file
from sd_core.errors import SdError

Tensors = Mapping[str, Tensor]
"""One entry: tensors by name."""
Make = Callable[[Sequence[str]], Sequence[Tensors]]
"""Contents that are not kept yet -> an entry for each, in order."""

MEMORY = 256 * 2**20
"""Bytes that a shelf keeps in memory: the captions of a template are few and asked for in every batch."""
_THE_USERS = frozenset(
    {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EEXIST, errno.ENOTDIR}
)


def weights_hash(*modules: nn.Module) -> str:
    """Hash of the weights and buffers of frozen modules: names, types, shapes and every bit; 64 hex digits.

    The same on every device. About a second for 500 MB.
    """
    digest = hashlib.sha256()
    for number, module in enumerate(modules):
        for name, tensor in sorted(module.state_dict().items()):
            digest.update(f"{number}:{name}:{tensor.dtype}:{tuple(tensor.shape)};".encode())
            whole = tensor.detach().cpu().contiguous()
            digest.update(whole.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def recipe_folder(kind: str, recipe: Mapping[str, Any]) -> Path:
    """Folder of the artefacts of one recipe, made if it is not there; `recipe.json` inside says what it is.

    It stands in `$SIGNAL_DIFFUSION_CACHE/artefacts`, else `~/.cache/signal-diffusion/artefacts`.

    Args:
        kind: What the artefacts are, such as "latents"; the beginning of the folder's name.
        recipe: Everything besides the content that they follow from, as JSON takes it.

    Raises:
        SdError: the folder cannot be written.
    """
    text = json.dumps(dict(recipe), sort_keys=True)
    folder = artefact_root() / f"{kind}-{hashlib.sha256(text.encode()).hexdigest()[:32]}"
    with cache_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "recipe.json").is_file():
            with whole_file(folder / "recipe.json", several=True) as scratch:
                scratch.write_text(text, encoding="utf-8")
    return folder


def artefact_root() -> Path:
    """Folder of all artefacts on this machine; any of it may be deleted at any time."""
    root = os.environ.get("SIGNAL_DIFFUSION_CACHE")
    return (Path(root) if root else Path.home() / ".cache" / "signal-diffusion").expanduser() / "artefacts"


class Shelf:
    """Entries by the text that they were made of, each a safetensors file.

    Args:
        kind: Such as "text-states".
        recipe: See `recipe_folder`; for text: the encoders' `weights_hash`, tokenizer settings, lengths.

    Example:
        shelf = Shelf("text-states", {"encoder": weights_hash(encoder), "max_length": 77})
        entries = shelf.take(["", "an EEG"], encode_texts)  # encodes what is not there, in one call
    """

    def __init__(self, kind: str, recipe: Mapping[str, Any]) -> None:
        self.folder = recipe_folder(kind, recipe)
        self._near: dict[str, Tensors] = {}
        self._near_bytes = 0

    def take(self, contents: Sequence[str], make: Make) -> list[Tensors]:
        """The entries of these contents, in order, on the CPU; bit-equal to what `make` once gave.

        Args:
            contents: Texts; the same one may stand there twice and is made once.
            make: Called at most once, with the contents that are not kept yet, each once. Of several processes that
                lack the same, such as those of one training, one makes it and the others wait.

        Raises:
            SdError: the cache cannot be written.
            ValueError: `make` gave another number of entries than it was asked for.
        """
        found = self._kept(contents)
        if found.keys() != set(contents):
            with self._alone():
                found |= self._kept([content for content in contents if content not in found])
                missing = [content for content in dict.fromkeys(contents) if content not in found]
                found |= self._made(missing, make) if missing else {}
        return [found[content] for content in contents]

    def path(self, content: str) -> Path:
        """Where the entry of a content stands."""
        name = _key(content)
        return self.folder / name[:2] / f"{name[2:]}.safetensors"

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """While no other process makes entries of this recipe."""
        lock = FileLock(self.folder / "making.lock")
        with cache_errors(self.folder):
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def _made(self, missing: Sequence[str], make: Make) -> dict[str, Tensors]:
        made = make(missing)
        if len(made) != len(missing):
            raise ValueError(f"{len(made)} entries were made of {len(missing)} contents")
        return {content: self._put(content, entry) for content, entry in zip(missing, made, strict=True)}

    def _kept(self, contents: Sequence[str]) -> dict[str, Tensors]:
        found = {content: self._find(content) for content in dict.fromkeys(contents)}
        return {content: entry for content, entry in found.items() if entry is not None}

    def _find(self, content: str) -> Tensors | None:
        if content in self._near:
            return self._near[content]
        entry = _read_entry(self.path(content), _key(content))
        return None if entry is None else self._remember(content, entry)

    def _put(self, content: str, entry: Tensors) -> Tensors:
        own = {name: value.detach().cpu().clone(memory_format=torch.contiguous_format) for name, value in entry.items()}
        path = self.path(content)
        payload = save(own, {"content": _key(content), "sum": _checksum(own)})
        with cache_errors(path.parent):
            path.parent.mkdir(exist_ok=True)
            with whole_file(path, several=True) as scratch:
                scratch.write_bytes(payload)
        return self._remember(content, own)

    def _remember(self, content: str, entry: Tensors) -> Tensors:
        self._near[content] = entry
        self._near_bytes += _bytes(entry)
        while self._near_bytes > MEMORY and len(self._near) > 1:
            self._near_bytes -= _bytes(self._near.pop(next(iter(self._near))))
        return entry


def _read_entry(path: Path, key: str) -> Tensors | None:
    """An entry that is whole and of this content, or None."""
    try:
        with safe_open(path, framework="pt") as file:
            facts = file.metadata() or {}
            entry = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (OSError, SafetensorError):
        return None
    whole = facts.get("content") == key and facts.get("sum") == _checksum(entry)
    return entry if whole else None


def _bytes(entry: Tensors) -> int:
    return sum(tensor.nbytes for tensor in entry.values())


def _checksum(entry: Tensors) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(entry.items()):
        digest.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)};".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _key(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()


@contextmanager
def cache_errors(folder: Path) -> Iterator[None]:
    """Within this context, a disk that is full or not ours is one sentence.

    Raises:
        SdError: instead of the OSError.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _THE_USERS:
            raise
        raise SdError(
            f"cannot write to '{folder}' ({error.strerror}); point SIGNAL_DIFFUSION_CACHE at a folder of yours "
            "on a disk with room"
        ) from error
