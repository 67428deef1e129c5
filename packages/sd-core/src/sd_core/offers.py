"""Which of our own packages offers what: read only to say what to install. Data, not logic."""

from collections.abc import Mapping

NAMES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "sd-core": {
        "conditioners": ("none", "classes", "attributes", "caption"),
        "codecs": ("none", "vae"),
        "objectives": ("flow",),
        "samplers": ("euler", "heun", "dpm++", "unipc"),
        "trackers": ("tensorboard", "wandb"),
        "exporters": ("npz", "dataset"),
    },
    "sd-data": {
        "representations": ("timeseries", "db-only", "db-iq", "db-polar"),
        "corpora": ("demo", "eegmat", "files", "bids", "seed-v", "meta"),
        "metrics": (
            "log_spectral_distance",
            "band_power",
            "aperiodic",
            "alpha_peak",
            "coherence",
            "topography",
            "correlation",
            "kurtosis",
            "amplitude",
            "autocorrelation",
            "time_direction",
            "covariance",
            "mmd",
            "frechet",
            "prdc",
            "c2st",
            "usefulness",
            "usefulness_eegnet",
            "label_consistency",
            "age",
            "memorisation",
        ),
        "exporters": ("fif", "edf", "bids"),
        "reports": ("html", "sweep"),
    },
    "sd-dit": {"architectures": ("dit",)},
    "sd-hourglass": {"architectures": ("hourglass",)},
    "sd-localmamba": {"architectures": ("localmamba",)},
    "sd-sd35": {"architectures": ("sd35",), "conditioners": ("sd3-text",)},
}
"""Package -> kind -> component names."""


def package_offering(kind: str, name: str) -> str | None:
    """The package of ours that offers this component, None for a name we never heard of."""
    return next((package for package, kinds in NAMES.items() if name in kinds.get(kind, ())), None)


def known_names(kind: str) -> tuple[str, ...]:
    """All names of a kind that our packages offer."""
    return tuple(name for kinds in NAMES.values() for name in kinds.get(kind, ()))
