"""What every metric must do: subclass `MetricContract` in a test module of your plugin."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from sd_core.protocols import Resampleable
from sd_core.task import SignalInfo, Windows

if TYPE_CHECKING:
    from sd_core.protocols import Metric

NAMES = ("Fz", "C3", "C4", "Pz", "O1", "O2")


def toy_windows(seed: int, count: int = 24, n_channels: int = 6, n_samples: int = 512, gain: float = 1.0) -> Windows:
    """EEG-like noise in microvolts: pink, correlated between electrodes, in bursts that no Gaussian has.

    Windows of one seed are a person's: amplitude and alpha frequency belong to the seed.
    """
    rng = np.random.default_rng(seed)
    person = rng.standard_normal(2)
    frequency = np.fft.rfftfreq(n_samples, 1 / 125)
    shape = 1 / np.maximum(frequency, 1.0)
    common, own = (
        np.fft.irfft(shape * np.fft.rfft(rng.standard_normal((count, rows, n_samples)), axis=-1), n=n_samples, axis=-1)
        for rows in (1, n_channels)
    )
    time = np.arange(n_samples) / 125
    phase = rng.uniform(0, 2 * np.pi, (count, 1, 1))
    alpha = 0.02 * np.sin(2 * np.pi * (10 + 0.3 * person[0]) * time + phase)
    bursts = np.exp(1.2 * np.cos(2 * np.pi * 0.4 * time + 3 * phase))
    signal = 40 * gain * np.exp(0.1 * person[1]) * bursts * (common + own + alpha)
    info = SignalInfo(channel_names=NAMES[:n_channels], n_samples=n_samples, sfreq=125.0, reference="average")
    return Windows(signal=signal.astype(np.float32), info=info, columns={"subject": [str(seed)] * count})


class MetricContract:
    """Tests of a metric; a subclass named `Test...` says which one.

    Example:
        class TestMine(MetricContract):
            def metric(self):
                return Mine(MineOptions())
    """

    separates: bool = True
    """Whether windows of five times the amplitude must score worse than windows of another person."""

    def metric(self) -> Metric:
        """The metric under test."""
        raise NotImplementedError

    def test_every_number_is_described(self) -> None:
        """Every key of a call has a score with a title, and every score can be computed for ordinary windows."""
        metric = self.metric()
        assert set(self._call(metric)) == set(metric.scores)
        assert all(score.title for score in metric.scores.values())

    def test_numbers_are_finite(self) -> None:
        """For ordinary windows."""
        assert all(math.isfinite(value) for value in self._call(self.metric()).values())

    def test_it_repeats(self) -> None:
        """Fresh windows of the same content give the same numbers, to the bit."""
        assert self._call(self.metric()) == self._call(self.metric())

    def test_it_leaves_the_windows_alone(self) -> None:
        """No metric changes what the next one sees."""
        real, generated, train = toy_windows(1), toy_windows(2), toy_windows(3)
        before = [windows.signal.copy() for windows in (real, generated, train)]
        self.metric()(real, generated, train)
        for windows, signal in zip((real, generated, train), before, strict=True):
            np.testing.assert_array_equal(windows.signal, signal)

    def test_order_does_not_matter(self) -> None:
        """Windows are a set."""
        generated = toy_windows(2)
        turned = replace(generated, signal=generated.signal[::-1].copy())
        real, train = toy_windows(1), toy_windows(3)
        one, other = self.metric()(real, generated, train), self.metric()(real, turned, train)
        assert one.keys() == other.keys()
        np.testing.assert_allclose(list(one.values()), list(other.values()), rtol=1e-4, atol=1e-6)

    def test_wrong_windows_score_worse(self) -> None:
        """Amplitude times five is further from the ideal than another person."""
        if not self.separates:
            return
        metric = self.metric()
        score = next(iter(metric.scores))
        ideal = metric.scores[score].ideal
        good = metric(toy_windows(1), toy_windows(2), toy_windows(3))[score]
        bad = metric(toy_windows(1), toy_windows(2, gain=5.0), toy_windows(3))[score]
        assert abs(bad - ideal) > abs(good - ideal)

    def test_a_scorer_of_all_windows_is_the_call(self) -> None:
        """And of some windows it describes nothing that the call does not; metrics without one pass."""
        metric = self.metric()
        if not isinstance(metric, Resampleable):
            return
        real, generated, train = toy_windows(1), toy_windows(2), toy_windows(3)
        score = metric.scorer(real, generated, train)
        everything, half = np.arange(len(real)), np.arange(0, len(real), 2)
        whole = metric(real, generated, train)
        found = score(everything, everything)
        assert found.keys() == whole.keys()
        np.testing.assert_allclose(list(found.values()), list(whole.values()), rtol=1e-4, atol=1e-6)
        assert set(score(half, half)) <= set(metric.scores)
        assert score(half, half) == score(half, half)

    def test_odd_windows_do_no_harm(self) -> None:
        """One electrode, a single window, few samples: known scores or none at all, never an exception."""
        metric = self.metric()
        for count, n_channels, n_samples in ((24, 1, 512), (1, 6, 512), (3, 6, 25), (3, 2, 24)):
            windows = [toy_windows(seed, count, n_channels, n_samples) for seed in (1, 2, 3)]
            assert set(metric(*windows)) <= set(metric.scores)

    def test_silence_does_no_harm(self) -> None:
        """A model that collapsed to zero is judged like any other."""
        silent = replace(toy_windows(2), signal=np.zeros_like(toy_windows(2).signal))
        values = self.metric()(toy_windows(1), silent, toy_windows(3))
        assert not any(math.isnan(value) for value in values.values())

    @staticmethod
    def _call(metric: Metric) -> dict[str, float]:
        return metric(toy_windows(1), toy_windows(2), toy_windows(3))
