import tomllib
from pathlib import Path

import pytest
import torch
from torch import nn

from sd_core.config.read import Run, read_run
from sd_core.registry import Registry
from sd_core.run.assemble import Geometry
from sd_core.run.costs import _Ledger, measure
from sd_core.run.dryrun import describe_run
from sd_core.task import LabelSpace
from sd_core.testing.toys import TOY_SIGNAL, toy_config, toy_registry, write_toy_windows


@pytest.fixture(scope="module")
def registry() -> Registry:
    return toy_registry()


def read(folder: Path, data: Path, registry: Registry, *overrides: str) -> Run:
    file = folder / "run.toml"
    file.write_text(toy_config(data))
    return read_run(file, overrides, registry)


def test_sizes_are_those_of_the_network(tmp_path: Path, registry: Registry) -> None:
    """Counted by hand for two 3 x 3 convolutions and a mixing matrix on a 1 x 4 x 32 grid."""
    cost = measure(read(tmp_path, tmp_path, registry), registry, Geometry(info=TOY_SIGNAL), LabelSpace())
    cells, width = 4 * 32, 8
    assert cost.parameters == (9 * width + width) + width * width + (9 * width + 1) + 2 * width
    multiplications = cells * (9 * width + width * width + 9 * width) + width
    assert cost.flops == pytest.approx(3 * 2 * multiplications, rel=0.15)  # the input needs no gradient
    assert cost.state_bytes == 4 * cost.parameters * 5  # weights, gradients, two moments, one average


def test_memory_grows_with_the_batch_and_not_with_nothing(tmp_path: Path, registry: Registry) -> None:
    cost = measure(read(tmp_path, tmp_path, registry), registry, Geometry(info=TOY_SIGNAL), LabelSpace())
    hidden = 8 * 4 * 32 * 4
    assert hidden < cost.example_bytes < 10 * hidden
    assert cost.step_bytes(8) - cost.step_bytes(4) == 4 * cost.example_bytes


def kept(blocks: int, *, recomputed: bool) -> int:
    """Bytes that a stack of blocks, 8 -> 24 -> 8 channels on 5 rows, keeps for its backward pass."""
    stack = nn.Sequential(
        *(nn.Sequential(nn.Linear(8, 24, bias=False), nn.GELU(), nn.Linear(24, 8, bias=False)) for _ in range(blocks))
    )
    ledger = _Ledger(stack, list(stack) if recomputed else ())
    with torch.autograd.graph.saved_tensors_hooks(ledger.note, ledger.give):
        stack(torch.zeros(5, 8))
    ledger.close()
    return ledger.total + ledger.largest


def test_checkpointing_keeps_what_goes_into_blocks_and_one_block_at_a_time() -> None:
    row = 5 * 4
    assert kept(4, recomputed=False) == 4 * (8 + 24 + 24) * row
    assert kept(4, recomputed=True) == (4 * 8 + 24 + 24) * row


def test_the_largest_batch_fits_and_the_next_does_not(tmp_path: Path, registry: Registry) -> None:
    cost = measure(read(tmp_path, tmp_path, registry), registry, Geometry(info=TOY_SIGNAL), LabelSpace())
    for memory in (2**22, 2**30):
        batch = cost.largest_batch(memory)
        assert cost.step_bytes(batch) <= 0.9 * memory < cost.step_bytes(batch + 1)
    assert cost.largest_batch(cost.state_bytes) == 0
    page = describe_run(read(tmp_path, write_toy_windows(tmp_path / "data"), registry), registry)
    assert f"{cost.largest_batch(24 * 2**30):,} on 24 GiB" in page


def test_wider_means_more(tmp_path: Path, registry: Registry) -> None:
    small, large = (
        measure(
            read(tmp_path, tmp_path, registry, f"model.extras.width={width}"),
            registry,
            Geometry(info=TOY_SIGNAL),
            LabelSpace(),
        )
        for width in (8, 32)
    )
    assert large.parameters > 3 * small.parameters
    assert large.flops > 3 * small.flops
    assert large.example_bytes > 3 * small.example_bytes


def test_the_page_names_data_network_and_run(tmp_path: Path, registry: Registry) -> None:
    data = write_toy_windows(tmp_path / "data")
    page = describe_run(read(tmp_path, data, registry), registry)
    assert "12 train windows of 4 channels x 32 samples at 125 Hz" in page
    assert "rest 6, arithmetic 6" in page
    assert "toy on 1x4x32" in page
    assert "4 steps, 16 examples" in page
    assert "[training]" in page


def test_the_page_shows_what_is_set_and_no_defaults(tmp_path: Path, registry: Registry) -> None:
    data = write_toy_windows(tmp_path / "data")
    page = describe_run(read(tmp_path, data, registry, "dataset.eval_batch_size=3"), registry)
    config, _, rest = page.partition("\n# ")
    written = tomllib.loads((tmp_path / "run.toml").read_text())
    assert tomllib.loads(config) == {**written, "dataset": {**written["dataset"], "eval_batch_size": 3}}
    assert rest.startswith("all other keys have their defaults")


def test_without_the_dataset_it_says_so_and_sizes_the_network_all_the_same(tmp_path: Path, registry: Registry) -> None:
    page = describe_run(read(tmp_path, tmp_path / "absent", registry), registry)
    assert "absent" in page
    assert "sizes below are for 20 channels x 2048 samples" in page
    assert "parameters" in page
