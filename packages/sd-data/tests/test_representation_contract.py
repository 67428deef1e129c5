"""Every representation of sd-data keeps the contract, in every layout and with every option."""

from __future__ import annotations

import pytest

from sd_core.plugin import SignalInfo
from sd_core.protocols import Representation
from sd_core.testing.representation import RepresentationContract
from sd_data.representations.db import DbOnly
from sd_data.representations.iq import DbIq
from sd_data.representations.options import DbOnlyOptions, SpectrogramOptions, TimeseriesOptions
from sd_data.representations.polar import DbPolar
from sd_data.representations.timeseries import TimeSeries


class TestTimeSeries(RepresentationContract):
    tolerance = TimeSeries.tolerance
    options = TimeseriesOptions()

    def representation(self, signal: SignalInfo) -> Representation:
        return TimeSeries(self.options, signal)


class TestPreEmphasis(TestTimeSeries):
    options = TimeseriesOptions(pre_emphasis=0.9)


class TestWhitening(TestTimeSeries):
    options = TimeseriesOptions(pre_emphasis=0.9, spatial_whitening=True)


class TestShortOddWindows(TestTimeSeries):
    signal = SignalInfo(channel_names=("a", "b", "c"), n_samples=333, sfreq=100.0)
    options = TimeseriesOptions(pre_emphasis=0.5)


@pytest.mark.parametrize("layout", ["stack", "electrode"], scope="class")
class Layouts(RepresentationContract):
    """Runs the contract in both layouts."""

    @pytest.fixture(autouse=True)
    def _choose(self, layout: str) -> None:
        self.layout = layout


class TestDbOnly(Layouts):
    def representation(self, signal: SignalInfo) -> Representation:
        return DbOnly(DbOnlyOptions.model_validate({"layout": self.layout, "griffin_lim_iterations": 4}), signal)


class TestDbIq(Layouts):
    tolerance = DbIq.tolerance

    def representation(self, signal: SignalInfo) -> Representation:
        return DbIq(SpectrogramOptions.model_validate({"layout": self.layout}), signal)


class TestDbPolar(Layouts):
    tolerance = DbPolar.tolerance

    def representation(self, signal: SignalInfo) -> Representation:
        return DbPolar(SpectrogramOptions.model_validate({"layout": self.layout}), signal)


class TestAnotherGrid(RepresentationContract):
    signal = SignalInfo(channel_names=("a", "b"), n_samples=960, sfreq=200.0)

    def representation(self, signal: SignalInfo) -> Representation:
        representation = DbIq(SpectrogramOptions(n_fft=96, hop=24), signal)
        assert tuple(representation.shape) == (6, 48, 40)
        return representation
