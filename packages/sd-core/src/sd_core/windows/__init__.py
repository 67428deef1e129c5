"""The window dataset: find, open, write, label and balance it. Importing this imports no torch."""

from sd_core.windows.balance import balance_weights, systematic_resample
from sd_core.windows.cache import cached_corpus, corpus_key
from sd_core.windows.labels import LabelTable, label_arrays, label_space
from sd_core.windows.locate import locate
from sd_core.windows.opening import open_split, read_meta
from sd_core.windows.reading import PictureSet, WindowSet
from sd_core.windows.rows import Rows
from sd_core.windows.writing import write_windows

__all__ = [
    "LabelTable",
    "PictureSet",
    "Rows",
    "WindowSet",
    "balance_weights",
    "cached_corpus",
    "corpus_key",
    "label_arrays",
    "label_space",
    "locate",
    "open_split",
    "read_meta",
    "systematic_resample",
    "write_windows",
]
