"""What every representation must do: subclass `RepresentationContract` in a test module of your plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor

from sd_core.errors import SdError
from sd_core.task import GridShape, SignalInfo
from sd_core.testing.signals import eeg_like

if TYPE_CHECKING:
    from sd_core.protocols import Representation

COUNT = 6
"""Windows that are encoded."""


class RepresentationContract:
    """Tests of a representation; a subclass named `Test...` says which one.

    Example:
        class TestMine(RepresentationContract):
            def representation(self, signal):
                return Mine(MineOptions(), signal)
    """

    signal = SignalInfo(channel_names=("Fz", "Cz", "Pz", "Oz"), n_samples=2048, sfreq=125.0, reference="average")
    """Geometry of the windows; another one if yours needs it."""
    tolerance = 1e-2
    """Largest relative error of decode(encode(x)) where `exact`, means of windows apart: 1e-2 is 40 dB."""

    def representation(self, signal: SignalInfo) -> Representation:
        """The representation under test, not fitted yet."""
        raise NotImplementedError

    def fitted(self) -> Representation:
        """The representation with the statistics of 24 windows."""
        representation = self.representation(self.signal)
        representation.fit(eeg_like(24, self.signal))
        return representation

    def windows(self) -> Tensor:
        """(COUNT, channels, samples), microvolts, not among those of `fitted`."""
        return torch.from_numpy(eeg_like(COUNT, self.signal, seed=1).array)

    def test_shape_is_known_before_any_data(self) -> None:
        """The network is built from it."""
        representation = self.representation(self.signal)
        assert isinstance(representation.shape, GridShape)
        assert representation.parts in (1, self.signal.n_channels)

    def test_missing_statistics_are_an_error(self) -> None:
        """Rather than numbers that mean nothing."""
        representation = self.representation(self.signal)
        if not representation.state_dict():
            pytest.skip("it has no statistics")
        with pytest.raises(SdError):
            representation.encode(self.windows())

    def test_encoded_windows_suit_a_network(self) -> None:
        """Shape as promised, float32, finite, about unit variance."""
        representation = self.fitted()
        x = representation.encode(self.windows())
        assert x.shape == (COUNT * representation.parts, *representation.shape)
        assert x.dtype == torch.float32
        assert torch.isfinite(x).all()
        assert 0.3 < float(x.var()) < 3

    def test_a_part_is_the_slice_of_the_whole(self) -> None:
        """Encoding one part per window gives what encoding all of them gives."""
        representation, windows = self.fitted(), self.windows()
        part = torch.arange(COUNT) % representation.parts
        whole = representation.encode(windows)
        rows = torch.arange(COUNT) * representation.parts + part
        torch.testing.assert_close(representation.encode(windows, part), whole[rows], rtol=1e-4, atol=1e-4)

    def test_a_window_does_not_depend_on_its_batch(self) -> None:
        """Neither in encode nor in decode."""
        representation, windows = self.fitted(), self.windows()
        together, alone = representation.encode(windows), representation.encode(windows[-1:])
        torch.testing.assert_close(together[-representation.parts :], alone, rtol=1e-4, atol=1e-4)
        decoded = representation.decode(together)[-1:]
        torch.testing.assert_close(decoded, representation.decode(alone), rtol=1e-3, atol=1e-2)

    def test_decode_inverts_encode_where_exact(self) -> None:
        """Within `tolerance`; a synthesis keeps at least the loudness."""
        representation, windows = self.fitted(), self.windows()
        decoded = representation.decode(representation.encode(windows))
        assert decoded.shape == windows.shape
        if representation.exact:
            assert float(relative_error(decoded, windows).max()) <= self.tolerance
        else:
            torch.testing.assert_close(decoded.std((1, 2)), windows.std((1, 2)), rtol=0.2, atol=0)

    def test_amplitude_is_kept(self) -> None:
        """A louder window looks louder: scaling each window by itself would erase what distinguishes people."""
        representation, windows = self.fitted(), self.windows()
        quiet, loud = (representation.decode(representation.encode(windows * gain)).std() for gain in (0.7, 1.4))
        assert float(loud / quiet) == pytest.approx(2, rel=0.2)

    def test_anything_decodes_to_something_finite(self) -> None:
        """A network in its first steps draws noise."""
        representation = self.fitted()
        noise = torch.randn(2 * representation.parts, *representation.shape, generator=torch.Generator().manual_seed(2))
        for x in (noise, 5 * noise, torch.zeros_like(noise)):
            assert torch.isfinite(representation.decode(x)).all()

    def test_gradients_are_finite(self) -> None:
        """Through encode and decode, at silence too."""
        representation = self.fitted()
        for signal in (self.windows()[:2], torch.zeros(2, self.signal.n_channels, self.signal.n_samples)):
            leaf = signal.clone().requires_grad_()
            representation.decode(representation.encode(leaf)).square().sum().backward()
            assert leaf.grad is not None
            assert torch.isfinite(leaf.grad).all()

    def test_fit_is_deterministic(self) -> None:
        """The same train split gives the same statistics."""
        first, second = self.fitted().state_dict(), self.fitted().state_dict()
        assert all(torch.equal(first[name], second[name]) for name in first)

    def test_statistics_travel_in_the_state(self) -> None:
        """A checkpoint is loaded into a representation that never saw the train split."""
        fitted, loaded = self.fitted(), self.representation(self.signal)
        loaded.load_state_dict(fitted.state_dict())
        assert torch.equal(loaded.encode(self.windows()), fitted.encode(self.windows()))

    def test_pictures_are_pictures(self) -> None:
        """(B, 3, H, W) in [0, 1], and not one flat colour."""
        representation = self.fitted()
        x = representation.encode(self.windows())[:2]
        picture = representation.picture(x)
        assert picture.ndim == 4
        assert picture.shape[:2] == (2, 3)
        assert float(picture.min()) >= 0
        assert float(picture.max()) <= 1
        assert float(picture.std()) > 0.01


def relative_error(decoded: Tensor, signal: Tensor) -> Tensor:
    """||decoded - signal|| / ||signal|| of each window, means apart: (B,)."""
    decoded, signal = (x.double() - x.double().mean(-1, keepdim=True) for x in (decoded, signal))
    ratio: Tensor = torch.linalg.vector_norm(decoded - signal, dim=(1, 2)) / torch.linalg.vector_norm(
        signal, dim=(1, 2)
    )
    return ratio
