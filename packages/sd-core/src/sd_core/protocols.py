"""What each kind of component must be able to do. No torch at import time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from sd_core.task import (
    Condition,
    Conditioning,
    GridShape,
    Labels,
    Score,
    Windows,
    WindowSource,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    Rows = NDArray[np.int64]
    """Row numbers of windows."""
    Scorer = Callable[[Rows, Rows], dict[str, float]]
    """(rows of the held-out windows, rows of the generated windows) -> the scores of these windows alone."""

    Denoise = Callable[[Tensor, Tensor], Tensor]
    """(x (B, C, H, W), t (B,)) -> the network's raw prediction, condition already bound."""
    Velocity = Callable[[Tensor, float, float], Tensor]
    """(x, t, t_next) -> dx/dt, guidance already applied; t runs from 1 (noise) to 0 (data)."""


class Denoiser(Protocol):
    """A network, an `nn.Module`.

    Optional, for what they bring:
    `param_roles() -> dict[str, Role]`: every parameter's name -> "matrix" (hidden, inside blocks: Muon or
    AdamW, weight decay), "embedding" (maps into, out of and around the blocks: AdamW, weight decay),
    "mapping" (a mapping network and the modulations it feeds: a third of the learning rate, no weight decay) or
    "vector" (gains, biases, looked-up tables: AdamW, no weight decay); see `sd_core.nn.roles`.
    `block_modules() -> Sequence[nn.Module]`: units of gradient checkpointing, per-block compilation and sharding.
    `token_count: int`: length of the sequence it works on.
    `lora_targets: tuple[str, ...]`: ends of the names of linear layers worth adapting.
    `lora_train: tuple[str, ...]`: ends of the names of modules that a published base does not bring; they are
    trained in full beside the adapters.
    """

    prediction_hint: str
    """"sample" or "vector_field": what `prediction_type = "auto"` takes."""

    def __call__(self, x: Tensor, t: Tensor, vector: Tensor | None = None, tokens: Tensor | None = None) -> Tensor:
        """Predict for x (B, C, H, W) at t (B,) in [0, 1] with 0 = data; returns the shape of x."""
        ...


class Representation(Protocol):
    """A view of a window that a network learns; an `nn.Module` whose buffers are its statistics.

    Optional: `reach: float`: the largest magnitude that encoded values usually take; 4 where it is not said.
    """

    shape: GridShape
    parts: int
    """Network examples per window: 1, or the number of electrodes when each is its own example."""
    exact: bool
    """Whether decode inverts encode (True) or synthesises a plausible waveform (False)."""

    def fit(self, train: WindowSource) -> None:
        """Take the statistics of the train split."""
        ...

    def encode(self, signal: Tensor, part: Tensor | None = None) -> Tensor:
        """(B, channels, samples) in microvolts -> (B * parts, *shape), about unit variance.

        With `part` (B,) int64, only that part of each window: (B, *shape).
        """
        ...

    def decode(self, x: Tensor) -> Tensor:
        """(B * parts, *shape) -> (B, channels, samples) in microvolts."""
        ...

    def picture(self, x: Tensor) -> Tensor:
        """(B, *shape) -> (B, 3, H, W) in [0, 1], for people."""
        ...

    def state_dict(self) -> dict[str, Tensor]:
        """The statistics, as `nn.Module` gives them."""
        ...

    def load_state_dict(self, state: Mapping[str, Tensor]) -> Any:
        """Take the statistics back."""
        ...


class Codec(Protocol):
    """A latent space; an `nn.Module` when it has weights, which are never trained, averaged or saved.

    Optional, for what they bring:
    `fingerprint: str`: which latent space it is; checkpoints remember it and refuse another one.
    `expect(reach: float)`: told how far the representation's values usually reach, before the first use.
    `keeps_latents: bool`: core encodes the train split once and keeps its latents on disk.
    """

    shape: GridShape
    """Of a latent."""

    def encode(self, x: Tensor) -> Tensor:
        """(B, *grid) -> (B, *shape)."""
        ...

    def decode(self, latent: Tensor) -> Tensor:
        """(B, *shape) -> (B, *grid)."""
        ...


class Conditioner(Protocol):
    """Labels to conditioning; an `nn.Module` when it has weights.

    Optional, for what they bring:
    `restrict(supported: frozenset[str]) -> None`: called once, before anything else, with the kinds that the network
    takes ("vector", "tokens"), so that one conditioner serves networks that take only one of them.
    `prepare(captions: Collection[str]) -> None`: called with the different captions of a split before its first
    batch, to refuse those that are too long and to encode once what stays as it is.
    `fingerprint: str | None`: of frozen encoders that are no part of the module; a checkpoint is refused where they are
    others than those that it was trained with.
    """

    emits: Condition
    roles: frozenset[str]
    """The labels it reads: what generated windows are marked with."""

    def __call__(self, labels: Labels) -> Conditioning:
        """Labels of B examples -> vector (B, emits.vector) and/or tokens (B, N, emits.tokens)."""
        ...

    def null(self, count: int) -> Conditioning:
        """The one "no condition", used by dropout and by guidance."""
        ...


class Objective(Protocol):
    """What is learned. Path x_t = (1 - t) x0 + t noise, velocity noise - x0."""

    def timesteps(self, quantiles: Tensor) -> Tensor:
        """Training times for quantiles (B,) in (0, 1): the inverse distribution function."""
        ...

    def loss(self, denoise: Denoise, x0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """(B,) float32."""
        ...

    def velocity(self, denoise: Denoise, xt: Tensor, t: Tensor) -> Tensor:
        """dx/dt at (x_t (B, C, H, W), t (B,)) from whatever the network predicts."""
        ...


class Sampler(Protocol):
    """Integrates a velocity from t = 1 to t = 0."""

    def __call__(self, velocity: Velocity, noise: Tensor) -> Tensor:
        """noise (B, C, H, W) at t = 1 -> x at t = 0."""  # noqa: D403 - the argument's name
        ...


class Metric(Protocol):
    """Judges generated windows.

    One that also is `Resampleable` has intervals around its scores.
    Optional: `slow: bool`: takes minutes rather than seconds; evaluations during a training and sweeps leave it out
    unless `[evaluation] metrics` names it.
    """

    @property
    def scores(self) -> Mapping[str, Score]:
        """How to read each number that a call returns."""
        ...

    def __call__(self, real: Windows, generated: Windows, train: Windows) -> dict[str, float]:
        """Score `generated` against the held-out `real`; `train` is what the model has seen."""
        ...


@runtime_checkable
class Resampleable(Protocol):
    """A metric that scores parts of what it was shown, for a small share of the price of the whole."""

    def scorer(self, real: Windows, generated: Windows, train: Windows) -> Scorer:
        """What is slow is done here, once: spectra, distances, a classifier's predictions.

        The scorer is then asked about a hundred times for some rows of `real` and of `generated`, each row at
        most once. Asked for all rows it returns what the metric returns when called. It may leave out scores
        that few windows do not define; those have no interval.
        """
        ...


class Tracker(Protocol):
    """Sees a training; never steers it."""

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Numbers by name, after an optimizer step."""
        ...

    def images(self, name: str, pictures: Tensor, step: int) -> None:
        """Pictures (B, 3, H, W) in [0, 1]."""
        ...

    def close(self) -> None:
        """Write out what is pending."""
        ...


class Corpus(Protocol):
    """Recordings (or a generator) that become a window dataset."""

    def build(self, out: Path) -> None:
        """Write a window dataset to the folder `out`, which does not exist yet."""
        ...


class Exporter(Protocol):
    """Writes generated windows in somebody else's format.

    May also have a method `check(out: Path) -> None`, called before the model is loaded and any window is
    drawn. It raises `SdError` where `out` cannot take the files, such as a folder that it would have to
    replace; that `out` or its parent can be written is known by then.
    """

    def __call__(self, windows: Windows, out: Path, provenance: Mapping[str, Any]) -> Sequence[Path]:
        """Write into folder `out`; returns the files written."""
        ...


class Report(Protocol):
    """Turns an evaluation into one page.

    The one called "sweep" draws a sweep: `evaluation` holds `settings`, the best first, `floor` and `scores`, and there
    are no windows.
    """

    def __call__(self, evaluation: Mapping[str, Any], windows: Mapping[str, Windows], out: Path) -> Path:
        """`evaluation` is the content of metrics.json; `windows` holds "real", "generated", "train"."""
        ...
