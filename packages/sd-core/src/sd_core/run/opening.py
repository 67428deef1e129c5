"""Find the dataset that a config names, open its splits and encode its labels."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sd_core.config import sections
from sd_core.config.read import Run
from sd_core.errors import SdError
from sd_core.registry import Registry
from sd_core.run.assemble import Geometry
from sd_core.run.captions import label_sources
from sd_core.run.data import Split, label_columns
from sd_core.task import GridShape, LabelSpace
from sd_core.windows.balance import balance_weights
from sd_core.windows.cache import cached_corpus, corpus_key
from sd_core.windows.labels import LabelTable, Sources, label_space
from sd_core.windows.locate import locate
from sd_core.windows.opening import open_split
from sd_core.windows.reading import PictureSet, WindowSet


@dataclass(frozen=True)
class OpenData:
    """A dataset opened for a run."""

    location: str
    dataset: sections.Dataset
    train: Split
    geometry: Geometry
    labels: LabelSpace
    sources: Sources
    """Where each label comes from."""

    def split(self, name: str, reads: Collection[str] = ()) -> Split:
        """Another split, its labels encoded with the classes of the train split.

        Args:
            name: Of the split.
            reads: Roles that are read of it: of their values that the train split does not have it is said once.
        """
        source = open_source(self.dataset, self.location, name)
        if geometry_of(source) != self.geometry:
            raise SdError(
                f"split {name!r} of {self.location} holds {geometry_of(source)}, the train split {self.geometry}; "
                "all splits must be alike"
            )
        return Split(source, LabelTable(source, self.labels, self.sources, reads=reads))

    def weights(self) -> NDArray[np.float64] | None:
        """Sampling weight of each train window, or None when nothing is balanced."""
        if not self.dataset.balance:
            return None
        dataset = self.dataset
        return balance_weights(self.train.source, dataset.balance, dataset.balance_power, dataset.max_sampling_weight)


def open_data(run: Run, registry: Registry) -> OpenData:
    """Open the train split that the config names; a corpus that builds itself is built first.

    Raises:
        SdError: nothing is there, or it does not fit the config.
    """
    dataset = run.config.dataset
    location = find_dataset(run, registry)
    source = open_source(dataset, location, dataset.train_split, limit=dataset.max_train_samples)
    columns = label_columns(dataset)
    sources = label_sources(run, columns, source)
    labels = label_space(source, sources, dataset.num_classes, required=_renamed(columns))
    table = LabelTable(source, labels, sources)
    return OpenData(location, dataset, Split(source, table), geometry_of(source), labels, sources)


def _renamed(columns: Mapping[str, str]) -> list[str]:
    """Roles whose column somebody chose: those must be there."""
    usual = label_columns(sections.Dataset(name="any"))
    return [role for role, column in columns.items() if column != usual[role]]


def find_dataset(run: Run, registry: Registry) -> str:
    """The folder or hub id of the dataset; builds a corpus into the cache on first use."""
    options = run.options.get("corpora")
    name = run.config.dataset.name
    if options is None:
        return locate(name, run.config.settings.data_root)
    corpus = registry.create("corpora", name, options)
    version = registry.version_of("corpora", name)
    return str(cached_corpus(corpus.build, corpus_key(name, options.model_dump(mode="json"), version)))


def open_source(
    dataset: sections.Dataset, location: str, split: str, limit: int | None = None
) -> WindowSet | PictureSet:
    """One split as `[dataset]` describes it."""
    return open_split(location, split, sfreq=dataset.sfreq, channel_names=dataset.channel_names, max_samples=limit)


def geometry_of(source: WindowSet | PictureSet) -> Geometry:
    """What kind of examples a split holds."""
    if isinstance(source, PictureSet):
        return Geometry(pictures=GridShape(*source.shape))
    return Geometry(info=source.info)


def with_parts(split: Split, parts: int) -> Split:
    """The same split for a representation that makes several examples of a window."""
    return replace(split, parts=parts)
