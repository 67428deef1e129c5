"""Neighborhood attention against its definition, a loop over queries."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from sd_hourglass import products, tiles
from sd_hourglass.neighborhood import NeighborhoodAttention
from sd_hourglass.products import TileTables, attend_by_products
from sd_hourglass.tilings import best_tile

GRIDS = [(32, 32, 7), (5, 64, 7), (20, 33, 7), (1, 9, 7), (3, 3, 7), (7, 7, 7), (13, 8, 5), (11, 17, 3), (6, 6, 1)]


def loop(parts: list[Tensor], kernel: int, scale: float) -> Tensor:
    """Query by query: the window of `kernel` tokens with the query in its middle, moved into the grid."""
    query, key, value = parts
    _, rows, columns, _, _ = query.shape

    def window(position: int, size: int) -> slice:
        start = max(0, min(position - kernel // 2, size - kernel))
        return slice(start, min(size, start + kernel))

    out = []
    for row in range(rows):
        for column in range(columns):
            seen = (slice(None), window(row, rows), window(column, columns))
            scores = torch.einsum("bhd,brchd->bhrc", query[:, row, column], key[seen]) * scale
            weights = scores.flatten(2).softmax(-1).view_as(scores)
            out.append(torch.einsum("bhrc,brchd->bhd", weights, value[seen]))
    return torch.stack(out, 1).view_as(query)


def inputs(rows: int, columns: int, dtype: torch.dtype = torch.float64, heads: int = 2, width: int = 8) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    parts = torch.randn(3, 2, rows, columns, heads, width, generator=generator, dtype=torch.float64)
    return [part.to(dtype).requires_grad_() for part in parts]


def outputs_and_gradients(out: Tensor, parts: list[Tensor]) -> list[Tensor]:
    weights = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out).sin()
    return [out, *torch.autograd.grad((out * weights).sum(), parts)]


@torch.no_grad()
def deviations(ours: list[Tensor], exact: list[Tensor]) -> list[float]:
    return [
        float((a.double() - b).abs().max() / b.abs().max().clamp(min=0.1)) for a, b in zip(ours, exact, strict=True)
    ]


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("width", [8, 16])
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float64, 1e-12), (torch.float32, 1e-4)])
def test_outputs_and_gradients_equal_the_loop(
    grid: tuple[int, int, int], width: int, dtype: torch.dtype, bound: float
) -> None:
    """Heads of 16 channels are the C kernel's where there is a compiler, heads of 8 the tiles'."""
    rows, columns, kernel = grid
    exact = inputs(rows, columns, width=width)
    expected = outputs_and_gradients(loop(exact, kernel, 0.3), exact)
    parts = inputs(rows, columns, dtype, width=width)
    out = NeighborhoodAttention(rows, columns, kernel)(*parts, 0.3)
    assert out.dtype == dtype
    assert max(deviations(outputs_and_gradients(out, parts), expected)) < bound


def test_a_scale_of_one_is_taken_as_it_is() -> None:
    parts = inputs(9, 9)
    assert max(deviations([NeighborhoodAttention(9, 9, 3)(*parts, 1.0)], [loop(parts, 3, 1.0)])) < 1e-12


def test_it_is_computed_without_memory() -> None:
    with torch.device("meta"):
        hollow = NeighborhoodAttention(20, 33, 7)
    hollow.to_empty(device="cpu")
    for module in hollow.modules():
        if callable(reset := getattr(module, "reset_parameters", None)):
            reset()
    parts = inputs(20, 33)
    assert torch.equal(hollow(*parts, 1.0), NeighborhoodAttention(20, 33, 7)(*parts, 1.0))
    assert not hollow.state_dict()
    with FakeTensorMode():
        fake = torch.zeros(2, 20, 33, 2, 8)
        assert NeighborhoodAttention(20, 33, 7)(fake, fake, fake, 1.0).shape == fake.shape


def test_it_compiles_into_one_graph() -> None:
    torch.compiler.reset()
    attention = NeighborhoodAttention(10, 13, 7)
    compiled = torch.compile(attention, backend="aot_eager", fullgraph=True)
    parts = inputs(10, 13)
    ours = outputs_and_gradients(compiled(*parts, 0.3), parts)
    assert max(deviations(ours, outputs_and_gradients(attention(*parts, 0.3), parts))) < 1e-12


def test_what_lies_outside_a_window_does_not_matter() -> None:
    """The halo of a tile holds tokens that most of its queries must not see, however large they are."""
    query, key, value = inputs(20, 33)
    clean = NeighborhoodAttention(20, 33, 7)(query, key, value, 1.0)
    with torch.no_grad():
        key[:, 8:, 12:] = 1e4
        value[:, 8:, 12:] = -1e4
    poisoned = NeighborhoodAttention(20, 33, 7)(query, key, value, 1.0)
    assert torch.equal(poisoned[:, :5], clean[:, :5])
    assert torch.equal(poisoned[:, :, :9], clean[:, :, :9])
    assert (poisoned[:, 5:, 9:] != clean[:, 5:, 9:]).any(-1).all()


def test_the_tile_changes_nothing() -> None:
    parts = inputs(20, 33)
    expected = NeighborhoodAttention(20, 33, 7)(*parts, 1.0)
    for tile in ((1, 1), (20, 33), (3, 5), (64, 64)):
        out = NeighborhoodAttention(20, 33, 7, tile=tile)(*parts, 1.0)
        torch.testing.assert_close(out, expected, rtol=0, atol=1e-12)


def test_every_way_to_compute_in_bfloat16_stays_near(monkeypatch: pytest.MonkeyPatch) -> None:
    """Written out where the processor knows bfloat16, in float32 where it does not; under autocast too."""
    exact = inputs(10, 13)
    expected = outputs_and_gradients(loop(exact, 7, 0.3), exact)
    for native in (True, False):
        monkeypatch.setattr(tiles, "_BF16_PROCESSOR", native)
        parts = inputs(10, 13, torch.bfloat16)
        out = NeighborhoodAttention(10, 13, 7)(*parts, 0.3)
        assert out.dtype == torch.bfloat16
        assert max(deviations(outputs_and_gradients(out, parts), expected)) < 0.03
    parts = inputs(10, 13, torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        out = NeighborhoodAttention(10, 13, 7)(*parts, 0.3)
    assert out.dtype == torch.float32
    assert max(deviations([out], expected[:1])) < 1e-5


@pytest.mark.parametrize(
    ("grid", "tile"), [((32, 32), (4, 8)), ((20, 256), (5, 6)), ((16, 16), (4, 16)), ((10, 128), (10, 4))]
)
def test_the_tile_is_the_one_that_was_measured_to_be_fast(grid: tuple[int, int], tile: tuple[int, int]) -> None:
    assert best_tile(grid, (7, 7)) == tile


def test_the_form_for_cuda_is_the_same() -> None:
    """PyTorch's fused kernel, which a CPU could use as well."""
    attention = NeighborhoodAttention(20, 33, 7).tiles
    tables = TileTables(attention.queries, attention.keys, attention.mask.double(), attention.place)
    parts = [part.detach().flatten(1, 2).transpose(1, 2).flatten(0, 1).requires_grad_() for part in inputs(20, 33)]
    query, key, value = parts
    ours = outputs_and_gradients(tiles._fused(query, key, value, tables, 0.3), parts)
    theirs = outputs_and_gradients(attend_by_products(query, key, value, tables, 0.3), parts)
    assert max(deviations(ours, theirs)) < 1e-12


@pytest.mark.parametrize("at_once", [1, 5, 32, 1000])
def test_portions_cover_every_tile_of_every_example_once(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr(products, "_TILES_AT_ONCE", at_once)
    for count, number in ((1, 1), (3, 7), (64, 4), (2, 160)):
        times = torch.zeros(count, number, dtype=torch.long)
        for rows, some in products._portions(count, number):
            times[rows, some] += 1
            assert times[rows, some].numel() <= at_once
        assert (times == 1).all()
