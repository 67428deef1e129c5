"""From what is installed and on disk to what `judge` takes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np

from sd_core.errors import SdError
from sd_core.options import Options
from sd_core.protocols import Metric
from sd_core.registry import Registry
from sd_core.task import Windows
from sd_core.windows.reading import WindowSet


def usable_metrics(
    registry: Registry, named: Sequence[str], options: Mapping[str, Options]
) -> tuple[dict[str, Metric], list[str]]:
    """Build the metrics of an evaluation.

    Args:
        registry: The installed plugins.
        named: `[evaluation] metrics`; empty takes all that can be built here.
        options: By metric; one that is absent has its defaults.

    Returns:
        The metrics by name, and a sentence for each that is installed but cannot be used.

    Raises:
        SdError: a named metric cannot be built, or none is left.
    """
    metrics: dict[str, Metric] = {}
    notices = []
    for name in named or offered_metrics(registry):
        try:
            given = options[name] if name in options else registry.options("metrics", name)()
            metrics[name] = registry.create("metrics", name, given)
        except SdError as problem:
            if named:
                raise
            notices.append(f"{name} is left out: {problem}")
    if not metrics:
        raise SdError("no metric is installed: pip install 'sd-data[eval]'")
    return metrics, notices


def offered_metrics(registry: Registry) -> list[str]:
    """All metrics in the order in which their packages offer them: the order of the table."""
    order = [component.name for plugin in registry.plugins for component in plugin.components.get("metrics", ())]
    return sorted(registry.names("metrics"), key=lambda name: order.index(name.rpartition(":")[2]))


def in_memory(source: WindowSet, most: int, seed: int) -> Windows:
    """The windows of a split with their labels; a seeded draw of `most` where there are more."""
    rows = np.arange(len(source))
    if len(source) > most:
        rows = np.sort(np.random.default_rng([seed, 3]).permutation(len(source))[:most])
    columns = {name: source.column(name) for name in source.column_names}
    picked = {name: [values[row] for row in rows] for name, values in columns.items()}
    return Windows(signal=source.signals(rows.tolist()), info=source.info, columns=picked)


def fingerprint(windows: Windows) -> str:
    """Identity of a reference set: scores against different ones cannot be compared."""
    found = hashlib.sha256(str(windows.info.channel_names).encode())
    for signal in windows.signal:
        found.update(np.ascontiguousarray(signal).data)
    return f"sha256:{found.hexdigest()[:16]}"
