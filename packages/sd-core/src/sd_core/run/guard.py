"""Stop before a non-finite number reaches the weights, without waiting for the device.

Each step puts one flag on the device: was the loss or the gradient norm non-finite on any process,
and does any process want to stop? Fused optimizers read the flag there (`found_inf`) and leave
weights and moments alone. The host reads it one step later, when it has long been computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.optim import Optimizer

from sd_core.errors import SdError

SKIPS_ALLOWED = 20
"""fp16 scaler skips in a row before a run stops."""


@dataclass
class _Pending:
    step: int
    status: Tensor
    """On the host; on CUDA its copy is complete once `copied` is."""
    rows: list[Tensor]
    copied: torch.cuda.Event | None = None


class Guard:
    """Watches loss and gradients of one training."""

    def __init__(self, accelerator: Accelerator, optimizers: Sequence[Optimizer]) -> None:
        self._accelerator = accelerator
        self._optimizers = optimizers
        self._fused = [o for o in optimizers if o.defaults.get("fused")]
        self._pending: _Pending | None = None
        self._skips = 0
        self.stop_requested = False

    def check(self, step: int, loss: Tensor, norm: Tensor | None, rows: list[Tensor], wants_stop: bool) -> None:
        """Put this step's flag on the device and hand it to the optimizers.

        Args:
            step: number of this step.
            loss: mean loss of this process.
            norm: gradient norm; None when it is not to be trusted (fp16, before unscaling).
            rows: window numbers of this step's examples, for the message.
            wants_stop: whether this process was told to stop.

        Raises:
            SdError: an earlier step was non-finite.
        """
        self.settle()
        bad = ~torch.isfinite(loss.detach())
        if norm is not None and self._accelerator.scaler is None:
            bad = bad | ~torch.isfinite(norm.detach())
        status = torch.stack((bad.float(), torch.full_like(bad, wants_stop, dtype=torch.float32)))
        if self._accelerator.num_processes > 1:
            torch.distributed.all_reduce(status, op=torch.distributed.ReduceOp.MAX)
        self._pending = _pending(step, status, rows)
        for optimizer in self._fused:
            optimizer.found_inf = status[0].reshape(())  # type: ignore[attr-defined]
        if len(self._fused) < len(self._optimizers) or self._accelerator.scaler is not None:
            self.settle()  # Muon and scalers have no flag of their own: look before they step

    def settle(self) -> None:
        """Read the last flag.

        Raises:
            SdError: that step was non-finite; names the step and the windows.
        """
        pending, self._pending = self._pending, None
        if pending is None:
            return
        if pending.copied is not None:
            pending.copied.synchronize()
        bad, stop = pending.status.tolist()
        if bad:
            windows = sorted({int(row) for rows in pending.rows for row in rows.tolist()})
            raise SdError(
                f"step {pending.step}: loss or gradient is not finite; the weights were not touched and the last "
                f"checkpoint is intact; windows of this step: {', '.join(map(str, windows))}; lower "
                "optimizer.learning_rate or look at these windows"
            )
        self.stop_requested = bool(stop)

    def count_skips(self, step: int, *, skipped: bool) -> None:
        """Note whether the loss scaler skipped this step.

        Raises:
            SdError: too many skips in a row.
        """
        self._skips = self._skips + 1 if skipped else 0
        if self._skips >= SKIPS_ALLOWED:
            raise SdError(
                f"step {step}: fp16 gradients overflowed {SKIPS_ALLOWED} times in a row; the last checkpoint is "
                'intact; use training.mixed_precision = "bf16" or lower optimizer.learning_rate'
            )


def _pending(step: int, status: Tensor, rows: list[Tensor]) -> _Pending:
    """On CUDA, start the copy to the host now: reading it later waits for this step, not for the next one."""
    if not status.is_cuda:
        return _Pending(step, status, rows)
    host = torch.empty(status.shape, dtype=status.dtype, pin_memory=True)
    host.copy_(status, non_blocking=True)
    copied = torch.cuda.Event()
    copied.record()
    return _Pending(step, host, rows, copied)
