"""What frozen encoders made is kept by content, preparation and weights; nothing else is ever reused."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from sd_core.errors import SdError
from sd_core.nn import artefacts
from sd_core.nn.artefacts import Shelf, Tensors, recipe_folder, weights_hash


class Encoder:
    """Counts what it is asked for."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def __call__(self, texts: Sequence[str]) -> list[dict[str, Tensor]]:
        self.asked.append(list(texts))
        return [
            {"tokens": torch.full((2, 3), float(len(text)), dtype=torch.bfloat16), "count": torch.tensor(len(text))}
            for text in texts
        ]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SIGNAL_DIFFUSION_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def shelf(weights: str = "w", length: int = 77) -> Shelf:
    return Shelf("text-states", {"weights": weights, "length": length})


def test_what_is_there_is_not_made_again() -> None:
    encode = Encoder()
    first = shelf().take(["", "eeg", ""], encode)
    second = shelf().take(["eeg", "a", ""], encode)
    assert encode.asked == [["", "eeg"], ["a"]]
    assert [int(entry["count"]) for entry in (*first, *second)] == [0, 3, 0, 3, 1, 0]
    assert second[0]["tokens"].dtype == torch.bfloat16
    assert torch.equal(second[0]["tokens"], first[1]["tokens"])


@pytest.mark.parametrize("other", [{"weights": "v"}, {"length": 256}])
def test_another_recipe_rebuilds(other: dict[str, object]) -> None:
    encode = Encoder()
    shelf().take(["eeg"], encode)
    shelf(**other).take(["eeg"], encode)  # type: ignore[arg-type]
    assert encode.asked == [["eeg"], ["eeg"]]


def test_of_several_that_lack_the_same_one_makes_it() -> None:
    calls: list[list[str]] = []

    def slowly(texts: Sequence[str]) -> list[dict[str, Tensor]]:
        calls.append(list(texts))
        time.sleep(0.2)
        return [{"length": torch.tensor(len(text))} for text in texts]

    def ask(_: int) -> list[Tensors]:
        return shelf().take(["eeg", "at rest"], slowly)

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(ask, range(4)))
    assert calls == [["eeg", "at rest"]]
    assert [int(entry["length"]) for entries in found for entry in entries] == [3, 7] * 4


@pytest.mark.parametrize("damage", ["cut", "flipped", "swapped"])
def test_what_is_damaged_is_made_again(damage: str) -> None:
    encode, made = Encoder(), shelf()
    made.take(["eeg", "other"], encode)
    path = made.path("eeg")
    content = path.read_bytes()
    broken = {
        "cut": content[:-1],
        "flipped": content[:-1] + bytes([content[-1] ^ 1]),
        "swapped": made.path("other").read_bytes(),
    }
    path.write_bytes(broken[damage])
    entry = shelf().take(["eeg"], encode)[0]
    assert encode.asked[1:] == [["eeg"]]
    assert int(entry["count"]) == 3
    shelf().take(["eeg"], encode)
    assert len(encode.asked) == 2


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artefacts, "MEMORY", 50)
    encode, kept = Encoder(), shelf()
    for text in ("a", "bb", "ccc", "a"):
        kept.take([text], encode)
    assert len(kept._near) <= 2
    assert encode.asked == [["a"], ["bb"], ["ccc"]]  # read from disk, not made again


def test_a_cache_that_cannot_be_written_is_one_sentence(cache: Path) -> None:
    cache.write_text("a file in its place")
    with pytest.raises(SdError, match="point SIGNAL_DIFFUSION_CACHE at a folder of yours"):
        recipe_folder("latents", {})


def test_no_scratch_is_left(cache: Path) -> None:
    shelf().take(["eeg"], Encoder())
    assert sorted(path.suffix for path in cache.rglob("*") if path.is_file()) == [".json", ".lock", ".safetensors"]


def test_the_hash_of_weights_sees_every_bit_and_no_device() -> None:
    torch.manual_seed(0)
    module = nn.Linear(4, 4)
    before = weights_hash(module)
    assert weights_hash(module.requires_grad_(False)) == before
    with torch.no_grad():
        module.weight[3, 3] = torch.nextafter(module.weight[3, 3], torch.tensor(9.0))
    changed = weights_hash(module)
    assert changed != before
    assert weights_hash(module.bfloat16()) != changed
    assert weights_hash(module, module) != weights_hash(module)
