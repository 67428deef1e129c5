"""Every metric of sd-data keeps the contract that core holds strangers to."""

from __future__ import annotations

from sd_core.plugin import NoOptions
from sd_core.protocols import Metric
from sd_core.testing.metric import MetricContract
from sd_data.metrics import (
    amplitude,
    aperiodic,
    c2st,
    coherence,
    correlation,
    direction,
    frechet,
    memorisation,
    mmd,
    prdc,
    space,
    spectrum,
)
from sd_data.metrics.options import (
    C2stOptions,
    FrechetOptions,
    MemorisationOptions,
    MmdOptions,
    ParametrisationOptions,
    PrdcOptions,
)


class TestLogSpectralDistance(MetricContract):
    def metric(self) -> Metric:
        return spectrum.log_spectral_distance(NoOptions())


class TestBandPower(MetricContract):
    def metric(self) -> Metric:
        return spectrum.band_power(NoOptions())


class TestAlphaPeak(MetricContract):
    separates = False

    def metric(self) -> Metric:
        return aperiodic.alpha_peak(ParametrisationOptions())


class TestAperiodic(MetricContract):
    separates = False

    def metric(self) -> Metric:
        return aperiodic.aperiodic(ParametrisationOptions())


class TestKurtosis(MetricContract):
    separates = False

    def metric(self) -> Metric:
        return amplitude.kurtosis(NoOptions())


class TestAmplitude(MetricContract):
    def metric(self) -> Metric:
        return amplitude.amplitude(NoOptions())


class TestAutocorrelation(MetricContract):
    separates = False

    def metric(self) -> Metric:
        return amplitude.autocorrelation(NoOptions())


class TestCovariance(MetricContract):
    def metric(self) -> Metric:
        return space.CovarianceDistance(NoOptions())


class TestCorrelation(MetricContract):
    separates = False

    def metric(self) -> Metric:
        return correlation.correlation(NoOptions())


class TestMmd(MetricContract):
    def metric(self) -> Metric:
        return mmd.mmd(MmdOptions())


class TestMemorisation(MetricContract):
    separates = False

    def metric(self) -> Metric:
        return memorisation.Memorisation(MemorisationOptions())


class TestCoherence(MetricContract):
    separates = False

    def metric(self) -> Metric:
        return coherence.coherence(NoOptions())


class TestTopography(MetricContract):
    separates = False

    def metric(self) -> Metric:
        return coherence.topography(NoOptions())


class TestTimeDirection(MetricContract):
    separates = False

    def metric(self) -> Metric:
        return direction.time_direction(NoOptions())


class TestFrechet(MetricContract):
    def metric(self) -> Metric:
        return frechet.frechet(FrechetOptions())


class TestPrdc(MetricContract):
    def metric(self) -> Metric:
        return prdc.prdc(PrdcOptions())


class TestC2st(MetricContract):
    separates = False  # one person against another is told apart already

    def metric(self) -> Metric:
        return c2st.C2st(C2stOptions(trees=10))
