"""What every codec must do: subclass `CodecContract` in a test module of your plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor, nn

from sd_core.task import GridShape

if TYPE_CHECKING:
    from sd_core.protocols import Codec

COUNT = 2
"""Examples that are encoded."""


class CodecContract:
    """Tests of a codec; a subclass named `Test...` says which one.

    Example:
        class TestMine(CodecContract):
            def codec(self, grid): return Mine(MineOptions(), grid)
    """

    grids: tuple[GridShape, ...] = (
        GridShape(20, 64, 64, groups=20),
        GridShape(60, 64, 64, groups=20),
        GridShape(57, 64, 64, groups=19),
        GridShape(3, 64, 64),
        GridShape(1, 20, 2048),
    )
    """What representations make: stacks of electrodes, one electrode or picture, a time series."""
    tolerance: float | None = None
    """Largest relative error of decode(encode(x)); None for a codec that loses what it must."""

    def codec(self, grid: GridShape) -> Codec:
        """The codec under test, for examples of this shape."""
        raise NotImplementedError

    def examples(self, grid: GridShape) -> Tensor:
        """(COUNT, *grid) of unit variance."""
        return torch.randn(COUNT, *grid, generator=torch.Generator().manual_seed(1))

    def test_latents_have_the_shape_that_was_said(self) -> None:
        """Networks are built from it; float32, whatever the codec computes in."""
        for grid in self.grids:
            codec = self.codec(grid)
            assert isinstance(codec.shape, GridShape)
            latent = codec.encode(self.examples(grid))
            assert latent.shape == (COUNT, *codec.shape)
            assert latent.dtype == torch.float32
            assert torch.isfinite(latent).all()

    def test_decode_gives_the_shape_back(self) -> None:
        """For latents of data, for noise and for silence: a network in its first steps draws anything."""
        for grid in (self.grids[0], self.grids[-1]):
            codec = self.codec(grid)
            noise = torch.randn(1, *codec.shape, generator=torch.Generator().manual_seed(2))
            decoded = codec.decode(torch.cat([codec.encode(self.examples(grid)[:1]), 5 * noise, 0 * noise]))
            assert decoded.shape == (3, *grid)
            assert decoded.dtype == torch.float32
            assert torch.isfinite(decoded).all()

    def test_it_inverts_where_it_says_so(self) -> None:
        """Within `tolerance`."""
        if self.tolerance is None:
            pytest.skip("it is lossy")
        for grid in self.grids:
            codec, x = self.codec(grid), self.examples(grid)
            error = torch.linalg.vector_norm(codec.decode(codec.encode(x)) - x) / torch.linalg.vector_norm(x)
            assert float(error) <= self.tolerance

    def test_an_example_does_not_depend_on_its_batch(self) -> None:
        """Neither in encode nor in decode."""
        grid = self.grids[0]
        codec, x = self.codec(grid), self.examples(grid)
        together = codec.encode(x)
        torch.testing.assert_close(together[-1:], codec.encode(x[-1:]), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(codec.decode(together)[-1:], codec.decode(together[-1:]), rtol=1e-3, atol=1e-3)

    def test_it_is_a_function(self) -> None:
        """The same latents each time, from two codecs built alike, whatever random numbers were drawn before."""
        grid = self.grids[0]
        x, codec = self.examples(grid), self.codec(grid)
        first = codec.encode(x)
        torch.manual_seed(99)
        again = self.codec(grid)
        assert torch.equal(codec.encode(x), first)
        assert torch.equal(again.encode(x), first)
        assert getattr(again, "fingerprint", None) == getattr(codec, "fingerprint", None)

    def test_building_it_draws_no_random_numbers(self) -> None:
        """A network's first weights do not depend on how the codec is loaded."""
        torch.manual_seed(5)
        expected = torch.rand(1)
        torch.manual_seed(5)
        self.codec(self.grids[0])
        assert torch.equal(torch.rand(1), expected)

    def test_nothing_of_it_is_trained(self) -> None:
        """No gradient reaches its weights, and `train()` does not change it."""
        grid = self.grids[0]
        codec = self.codec(grid)
        if not isinstance(codec, nn.Module):
            pytest.skip("it has no weights")
        codec.train()
        assert not any(module.training for module in codec.modules())
        assert not any(weight.requires_grad for weight in codec.parameters())
        assert not codec.encode(self.examples(grid)).requires_grad
