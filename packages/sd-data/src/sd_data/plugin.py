"""What sd-data offers."""

from dataclasses import replace

from sd_core.plugin import Component, hookimpl


@hookimpl
def sd_corpora() -> list[Component]:
    """Sources of windows."""
    return [
        Component(
            name="demo",
            summary="Generated EEG with labels (age, sex, health, state); builds itself on first use",
            factory="sd_data.corpora.demo:DemoCorpus",
            options="sd_data.options:DemoOptions",
        ),
        Component(
            name="eegmat",
            summary="PhysioNet EEG During Mental Arithmetic Tasks: rest and subtraction, 36 people",
            factory="sd_data.corpora.eegmat:EegmatCorpus",
            options="sd_data.options:EegmatOptions",
        ),
        Component(
            name="files",
            summary="A folder of anything MNE reads, and a table: file, subject, state, gender, health, age",
            factory="sd_data.corpora.files:FilesCorpus",
            options="sd_data.corpora.options:FilesOptions",
        ),
        Component(
            name="bids",
            summary="Any BIDS folder of EEG: EDF, BDF, BrainVision, EEGLAB, FIF; labels of participants.tsv",
            factory="sd_data.corpora.bids:BidsCorpus",
            options="sd_data.corpora.options:BidsOptions",
            requires=("mne_bids",),
            extra="bids",
        ),
        Component(
            name="seed-v",
            summary="SEED-V: disgust, fear, sadness, neutral and happiness in 16 people watching film clips",
            factory="sd_data.corpora.seedv:SeedvCorpus",
            options="sd_data.corpora.options:SeedvOptions",
        ),
        Component(
            name="meta",
            summary="Several window datasets as one, each window in the split it was in",
            factory="sd_data.corpora.meta:MetaCorpus",
            options="sd_data.corpora.options:MetaOptions",
        ),
    ]


@hookimpl
def sd_metrics() -> list[Component]:
    """Judges, in the order of the table: each printed beside the real-against-real floor and the surrogates."""
    return [
        _metric("log_spectral_distance", "Mean log spectra, 1-45 Hz and per band", "spectrum:log_spectral_distance"),
        _metric("band_power", "Distributions of log band power (Wasserstein-1)", "spectrum:band_power"),
        _metric("aperiodic", "Exponent and offset of the background", "aperiodic:aperiodic", "ParametrisationOptions"),
        _metric(
            "alpha_peak",
            "Height and frequency of the alpha peak, windows without one",
            "aperiodic:alpha_peak",
            "ParametrisationOptions",
        ),
        _metric("coherence", "Coherence between electrodes, per band", "coherence:coherence"),
        _metric("topography", "How band power lies over the head", "coherence:topography"),
        _metric("correlation", "Mean correlation between electrodes", "correlation:correlation"),
        _metric("kurtosis", "Tails of the amplitude distribution (Wasserstein-1)", "amplitude:kurtosis"),
        _metric("amplitude", "Distribution of amplitude over windows (Wasserstein-1)", "amplitude:amplitude"),
        _metric("autocorrelation", "Mean autocorrelation up to one second", "amplitude:autocorrelation"),
        _metric("time_direction", "Which way time runs: leads, skewness of the derivative", "direction:time_direction"),
        _metric(
            "covariance", "Riemannian distance of mean covariances", "space:CovarianceDistance", needs=("pyriemann",)
        ),
        _metric("mmd", "Maximum mean discrepancy of feature vectors", "mmd:mmd", "MmdOptions"),
        _metric("frechet", "Fréchet distance and KID of feature vectors", "frechet:frechet", "FrechetOptions"),
        _metric("prdc", "Precision, recall, density and coverage of feature vectors", "prdc:prdc", "PrdcOptions"),
        _metric(
            "c2st", "Whether a classifier tells generated from real", "c2st:C2st", "C2stOptions", needs=("sklearn",)
        ),
        _metric(
            "usefulness",
            "Training on generated windows, testing on real ones; augmentation",
            "usefulness:usefulness",
            "UsefulnessOptions",
            needs=("sklearn",),
        ),
        _metric(
            "usefulness_eegnet",
            "The same by EEGNet: TSTR, TRTS, TRTR, augmentation gain",
            "eegnet:usefulness",
            "EegnetOptions",
            needs=("braindecode", "sklearn"),
        ),
        _metric(
            "label_consistency",
            "Whether generated windows show the labels that they were asked for",
            "labels:LabelConsistency",
            "LabelConsistencyOptions",
            needs=("sklearn",),
        ),
        _metric(
            "age", "Age read from generated windows and taught by them", "age:Age", "AgeOptions", needs=("sklearn",)
        ),
        _metric(
            "memorisation",
            "Distance to the nearest training window, beside held-out windows",
            "memorisation:Memorisation",
            "MemorisationOptions",
        ),
    ]


def _metric(name: str, summary: str, place: str, options: str = "", *, needs: tuple[str, ...] = ()) -> Component:
    """A metric by the place of its factory, "module:name", and the name of its options."""
    offer = Component(
        name=name,
        summary=summary,
        factory=f"sd_data.metrics.{place}",
        requires=needs,
        extra="eval" if needs else "",
    )
    return replace(offer, options=f"sd_data.metrics.options:{options}") if options else offer


@hookimpl
def sd_exporters() -> list[Component]:
    """File formats: every file says that it is synthetic."""
    return [
        Component(
            name="fif",
            summary="MNE epochs with positions and labels: generated-epo.fif",
            factory="sd_data.export.fif:Fif",
        ),
        Component(
            name="edf",
            summary="EDF+ files of 16 bits, a window each, and recordings.csv",
            factory="sd_data.export.edf:Edf",
        ),
        Component(
            name="bids",
            summary="BIDS derivatives, a participant a window, BrainVision files",
            factory="sd_data.export.bids:Bids",
            requires=("mne_bids", "pybv"),
            extra="bids",
        ),
    ]


@hookimpl
def sd_reports() -> list[Component]:
    """Pages about an evaluation."""
    return [
        Component(
            name="html",
            summary="One self-contained page: verdict, table, spectra, waveforms, spectrograms",
            factory="sd_data.report.html:HtmlReport",
        ),
        Component(
            name="sweep",
            summary="The picture of `sd-evaluate --sweep`: every setting beside the floor",
            factory="sd_data.report.sweep:SweepPlot",
        ),
    ]


@hookimpl
def sd_representations() -> list[Component]:
    """Views of a window."""
    home = "sd_data.representations"
    return [
        Component(
            name="timeseries",
            summary="The waveform, electrodes by samples; exact",
            factory=f"{home}.timeseries:TimeSeries",
            options=f"{home}.options:TimeseriesOptions",
        ),
        Component(
            name="db-only",
            summary="Spectrogram: level in dB; the waveform is synthesised",
            factory=f"{home}.db:DbOnly",
            options=f"{home}.options:DbOnlyOptions",
        ),
        Component(
            name="db-iq",
            summary="Spectrogram: level, in-phase and quadrature; exact",
            factory=f"{home}.iq:DbIq",
            options=f"{home}.options:SpectrogramOptions",
        ),
        Component(
            name="db-polar",
            summary="Spectrogram: level, magnitude and phase; exact",
            factory=f"{home}.polar:DbPolar",
            options=f"{home}.options:SpectrogramOptions",
        ),
    ]
