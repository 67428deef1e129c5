"""Neighborhood attention (Hassani 2023): every token sees the window of tokens around it."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import logging
from collections.abc import Callable
from typing import Literal, cast, get_args

import torch
from torch import Tensor, nn

from sd_core.nn.building import KernelUnavailable
from sd_core.nn.precision import without_autocast
from sd_core.plugin import SdError
from sd_hourglass.compiled.kernel import KERNEL, Window, takes
from sd_hourglass.compiled.operators import attend
from sd_hourglass.flex import FlexNeighborhood
from sd_hourglass.tiles import TileAttention, compute_dtype
from sd_hourglass.tilings import Tiling, best_tile, grid_tiling, neighborhood_axis

_log = logging.getLogger(__name__)

Backend = Literal["auto", "tiles", "compiled", "flex", "natten"]
"""How it is computed: by tiles anywhere, compiled on CPUs, by `flex_attention` or NATTEN's kernel on CUDA."""


class NeighborhoodAttention(nn.Module):
    """The attention alone, without projections: kernel x kernel tokens, shifted inward at the borders.

    "auto" takes, on CUDA, NATTEN's fused kernel where it is installed, else `flex_attention`; without CUDA,
    a C kernel where the machine has a compiler; and tiles for all else, such as, on CUDA, float64 or heads
    below 16 channels. Which one is said in the log, once. A backend that is named is taken for everything,
    and fails in its own words if it cannot.

    Args:
        rows: Of the grid.
        columns: Of the grid.
        kernel: Side of the window in tokens, odd; an axis with fewer tokens is seen whole.
        backend: How it is computed.
        tile: Rows and columns of a tile of queries; without it, what costs least by `best_tile`.

    Raises:
        SdError: Without a middle in the kernel, or without what the backend that is named needs.
    """

    def __init__(
        self, rows: int, columns: int, kernel: int, *, backend: Backend = "auto", tile: tuple[int, int] | None = None
    ) -> None:
        super().__init__()
        _check(kernel, backend)
        self.grid = (rows, columns)
        self.window = Window(min(kernel, rows), min(kernel, columns))
        self.tile = tile or best_tile(self.grid, self.window)
        self.backend = backend
        self.fused = _fused_backend(self.window) if backend == "auto" else backend
        self.tiles = TileAttention(rows * columns, self._tiling)
        self.flex = FlexNeighborhood(rows, columns, kernel) if self.fused == "flex" else None
        self.na2d = _na2d() if self.fused == "natten" else None
        _announce(self.fused)

    def _tiling(self) -> Tiling:
        rows, columns = map(neighborhood_axis, self.grid, self.window, self.tile)
        return grid_tiling(rows, columns, self.grid[1])

    def forward(self, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        """Of (B, rows, columns, heads, head_dim) each, the same shape, in the dtype of `value`.

        Args:
            query: What each token asks.
            key: What each token answers to.
            value: What each token tells.
            scale: Factor of the products of queries and keys; 1 where both carry it already.
        """
        if self.backend == "auto" and not _is_for(self.fused, value):
            return cast("Tensor", self.tiles(query, key, value, scale))
        if self.fused == "compiled":
            dtype = compute_dtype(value)
            return attend(query.to(dtype), key.to(dtype), value.to(dtype), self.window, scale).to(value.dtype)
        if self.na2d is not None:
            with without_autocast(value.device):
                parts = (part.to(value.dtype) for part in (query, key, value))
                return self.na2d(*parts, kernel_size=self.window, scale=scale)
        elsewhere = self.tiles if self.flex is None else self.flex
        return cast("Tensor", elsewhere(query, key, value, scale))


def _check(kernel: int, backend: Backend) -> None:
    if kernel < 1 or kernel % 2 == 0:
        raise SdError(f"kernel: a neighborhood of {kernel} tokens has no middle; take an odd number")
    if backend not in get_args(Backend):
        raise SdError(f"backend: {backend!r} is none of {', '.join(get_args(Backend))}")
    if backend == "natten" and not has_natten():
        raise SdError("backend 'natten' needs NATTEN with its CUDA kernels: pip install 'sd-hourglass[natten]'")
    if backend == "compiled" and (obstacle := _no_kernel()):
        raise SdError(f"backend 'compiled' does not work here: {obstacle}; choose 'auto'")


def _fused_backend(window: Window) -> Backend:
    """What is fastest on this machine; NATTEN refuses windows of a single row or column."""
    if torch.cuda.is_available():
        return "natten" if min(window) > 1 and has_natten() else "flex"
    return "tiles" if _no_kernel() else "compiled"


@functools.cache
def _no_kernel() -> str:
    """Why there is no compiled kernel; empty where there is."""
    try:
        KERNEL.load(torch.float32)
    except KernelUnavailable as reason:
        _log.warning("neighborhood attention: no compiled kernel, and PyTorch's operations are slower: %s", reason)
        return str(reason)
    return ""


def _is_for(backend: Backend, value: Tensor) -> bool:
    if backend == "compiled":
        return takes(value, compute_dtype(value))
    # Triton multiplies no fewer than 16 channels.
    kernels = (torch.float32, torch.bfloat16, torch.float16)
    return value.device.type == "cuda" and value.dtype in kernels and value.shape[-1] % 8 == 0 and value.shape[-1] >= 16


def has_natten() -> bool:
    """Whether NATTEN is installed, and built with its CUDA kernels rather than as a shell around PyTorch."""
    if importlib.util.find_spec("natten") is None:
        return False
    return bool(getattr(importlib.import_module("natten"), "HAS_LIBNATTEN", False))


def _na2d() -> Callable[..., Tensor]:
    return cast("Callable[..., Tensor]", importlib.import_module("natten").na2d)


@functools.cache
def _announce(backend: Backend) -> None:
    """Say it once per process; in the constructor, since a compiled forward pass must not log."""
    where = "on CUDA, " if torch.cuda.is_available() else ""
    names = {
        "tiles": "tiles in plain PyTorch",
        "compiled": "a compiled kernel",
        "flex": "flex_attention",
        "natten": "NATTEN's fused kernel",
    }
    _log.info("neighborhood attention: %s%s", where, names[backend])
