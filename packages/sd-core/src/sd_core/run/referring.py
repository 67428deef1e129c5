"""What drawn windows are compared with, and what drawing them costs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from sd_core.errors import SdError
from sd_core.judging.gather import in_memory
from sd_core.run.sample import LoadedRun
from sd_core.task import SignalInfo, Windows
from sd_core.windows.reading import WindowSet


def reference_split(loaded: LoadedRun, name: str, most: int, seed: int) -> tuple[Windows, list[str]]:
    """A split of the run's dataset, at most so many windows of it, and a sentence where some are left out.

    Raises:
        SdError: it is not there, holds pictures, or other windows than the model makes.
    """
    made, source = loaded.info, loaded.split(name)
    if not isinstance(source, WindowSet):
        raise SdError(f"dataset.name = {loaded.run.config.dataset.name!r} holds pictures, the model makes windows")
    _refuse_other_windows(made, source.info, f"split {name!r} of dataset {loaded.run.config.dataset.name!r}")
    left_out = [f"{most} of the {len(source)} windows of split {name!r} were used"] if len(source) > most else []
    return in_memory(source, most, seed), left_out


def _refuse_other_windows(made: SignalInfo, there: SignalInfo, where: str) -> None:
    if (there.channel_names, there.n_samples, there.sfreq) != (made.channel_names, made.n_samples, made.sfreq):
        raise SdError(
            f"{where} has {there} ({', '.join(there.channel_names)}), the model makes {made} "
            f"({', '.join(made.channel_names)}): set dataset.name to data of the model's kind"
        )
    if made.unit and there.unit and made.unit != there.unit:
        raise SdError(
            f"{where} is in {there.unit}, the model makes windows in {made.unit}: set dataset.name to data in that unit"
        )


def networks_of(loaded: LoadedRun) -> list[nn.Module]:
    """Every network that drawing evaluates."""
    earlier = [] if loaded.earlier is None else [loaded.earlier.network]
    return [loaded.assembly.network, *earlier]


@contextmanager
def counted(networks: Sequence[nn.Module]) -> Iterator[list[int]]:
    """Counts the examples that pass through the networks, guidance included."""
    rows = [0]

    def count(_module: nn.Module, _arguments: Any, output: Tensor) -> None:
        rows[0] += len(output)

    handles = [network.register_forward_hook(count) for network in networks]
    try:
        yield rows
    finally:
        for handle in handles:
            handle.remove()
