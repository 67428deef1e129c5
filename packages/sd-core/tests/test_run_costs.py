from pathlib import Path

import pytest

from sd_core.config.read import Run, read_run
from sd_core.registry import Registry
from sd_core.run.assemble import Geometry
from sd_core.run.costs import measure
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


def test_without_the_dataset_it_says_so_and_sizes_the_network_all_the_same(tmp_path: Path, registry: Registry) -> None:
    page = describe_run(read(tmp_path, tmp_path / "absent", registry), registry)
    assert "absent" in page
    assert "sizes below are for 20 channels x 2048 samples" in page
    assert "parameters" in page
