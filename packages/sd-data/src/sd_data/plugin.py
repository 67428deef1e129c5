"""What sd-data offers."""

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
    """Judges: each printed beside the real-against-real floor and the surrogates."""
    offers = {
        "log_spectral_distance": ("Mean log spectra, 1-45 Hz and per band", "spectrum:log_spectral_distance"),
        "band_power": ("Distributions of log band power (Wasserstein-1)", "spectrum:band_power"),
        "alpha_peak": ("Height and frequency of the alpha peak, aperiodic exponent", "spectrum:alpha_peak"),
        "coherence": ("Coherence between electrodes, per band", "coherence:coherence"),
        "topography": ("How band power lies over the head", "coherence:topography"),
        "correlation": ("Mean correlation between electrodes", "correlation:correlation"),
        "kurtosis": ("Tails of the amplitude distribution (Wasserstein-1)", "amplitude:kurtosis"),
        "amplitude": ("Distribution of amplitude over windows (Wasserstein-1)", "amplitude:amplitude"),
        "autocorrelation": ("Mean autocorrelation up to one second", "amplitude:autocorrelation"),
        "time_direction": ("Whether time runs forwards: leads, skewness of the derivative", "direction:time_direction"),
    }
    return [
        *(
            Component(name=name, summary=summary, factory=f"sd_data.metrics.{factory}")
            for name, (summary, factory) in offers.items()
        ),
        Component(
            name="covariance",
            summary="Riemannian distance of mean covariances",
            factory="sd_data.metrics.space:CovarianceDistance",
            requires=("pyriemann",),
            extra="eval",
        ),
        Component(
            name="mmd",
            summary="Maximum mean discrepancy of feature vectors",
            factory="sd_data.metrics.mmd:mmd",
            options="sd_data.metrics.options:MmdOptions",
        ),
        Component(
            name="frechet",
            summary="Fréchet distance and KID of feature vectors",
            factory="sd_data.metrics.frechet:frechet",
            options="sd_data.metrics.options:FrechetOptions",
        ),
        Component(
            name="prdc",
            summary="Precision, recall, density and coverage of feature vectors",
            factory="sd_data.metrics.prdc:prdc",
            options="sd_data.metrics.options:PrdcOptions",
        ),
        Component(
            name="c2st",
            summary="Whether a classifier tells generated windows from real ones",
            factory="sd_data.metrics.c2st:C2st",
            options="sd_data.metrics.options:C2stOptions",
            requires=("sklearn",),
            extra="eval",
        ),
        Component(
            name="usefulness",
            summary="Training on generated windows, testing on real ones; augmentation",
            factory="sd_data.metrics.usefulness:Usefulness",
            options="sd_data.metrics.options:UsefulnessOptions",
            requires=("sklearn",),
            extra="eval",
        ),
        Component(
            name="label_consistency",
            summary="Whether generated windows show the labels that they were asked for",
            factory="sd_data.metrics.labels:LabelConsistency",
            options="sd_data.metrics.options:LabelConsistencyOptions",
            requires=("sklearn",),
            extra="eval",
        ),
        Component(
            name="memorisation",
            summary="Distance to the nearest training window, beside held-out windows",
            factory="sd_data.metrics.memorisation:Memorisation",
            options="sd_data.metrics.options:MemorisationOptions",
        ),
    ]


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
        )
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
