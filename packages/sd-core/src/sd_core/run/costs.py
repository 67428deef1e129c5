"""What a training step costs, counted without computing it.

Everything runs on fake tensors (shapes without numbers), so a network of any size is measured in
seconds and no memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode
from torch.utils.hooks import RemovableHandle

from sd_core.config.read import Run
from sd_core.registry import Registry
from sd_core.run.assemble import Assembly, Geometry, assemble
from sd_core.run.codec_costs import CodecCost, codec_cost
from sd_core.run.lora import adapt
from sd_core.run.setup import autocast
from sd_core.task import Labels, LabelSpace

_MOMENTS = 2
"""Of AdamW; Muon keeps one, so that its estimate is a little high."""


@dataclass(frozen=True)
class Cost:
    """Sizes of a network and of one training step."""

    shape: str
    """What the network sees."""
    parameters: int
    trainable: int
    tokens: int | None
    parts: int
    """Examples per window."""
    flops: int
    """Forward and backward of one example."""
    state_bytes: int
    """Weights, gradients, moments and averages, float32."""
    fixed_bytes: int
    """Saved for the backward pass whatever the batch, such as low-precision copies of weights."""
    example_bytes: int
    """Saved for the backward pass per example."""
    codec: CodecCost | None = None
    """Of the latent space, where there is one."""

    def step_bytes(self, batch_size: int) -> int:
        """Memory of a training step at this batch size, kernels' scratch space apart."""
        codec = 0 if self.codec is None else self.codec.bytes
        return self.state_bytes + self.fixed_bytes + codec + batch_size * self.example_bytes

    def largest_batch(self, memory: int) -> int:
        """The largest batch whose step fits into `memory` bytes with a tenth of them kept free; 0 where none does."""
        room = memory - memory // 10 - self.step_bytes(0)
        return max(0, room // max(1, self.example_bytes))

    @property
    def example_flops(self) -> int:
        """Of an example: encoding it, forward and backward."""
        return self.flops + (0 if self.codec is None else self.codec.flops)


def measure(run: Run, registry: Registry, geometry: Geometry, labels: LabelSpace) -> Cost:
    """Cost of the network that a run describes, for this geometry and these labels."""
    with FakeTensorMode(allow_non_fake_inputs=True):
        assembly = assemble(run, registry, geometry, labels)
        if run.config.model.lora is not None:
            adapt(assembly.network, run.config.model.lora, seed=0)
        codec = codec_cost(assembly.representation, assembly.codec, run.config.dataset.batch_size)
        one, two = (_saved_bytes(run, assembly, labels, count) for count in (1, 2))
        if run.config.training.gradient_checkpointing:
            assembly.network.checkpoint_blocks()  # after the ledger, which cannot see what checkpointing keeps
        flops = _flops(run, assembly, labels, 2)
    parameters = sum(p.numel() for p in assembly.network.parameters())
    trainable = sum(p.numel() for p in assembly.network.parameters() if p.requires_grad)
    return Cost(
        shape=str(assembly.task.shape),
        parameters=parameters,
        trainable=trainable,
        tokens=getattr(assembly.network.denoiser, "token_count", None),
        parts=assembly.representation.parts,
        flops=flops // 2,
        state_bytes=4 * (parameters + trainable * (1 + _MOMENTS + _averages(run))),
        fixed_bytes=max(0, 2 * one - two),
        example_bytes=two - one,
        codec=codec,
    )


def _averages(run: Run) -> int:
    training = run.config.training
    return 1 if training.ema_decay is not None else len(training.ema_profiles)


def _saved_bytes(run: Run, assembly: Assembly, labels: LabelSpace, count: int) -> int:
    """Bytes kept for the backward pass of `count` examples."""
    recomputed = assembly.network.blocks() if run.config.training.gradient_checkpointing else ()
    ledger = _Ledger(assembly.network, recomputed)
    with saved_tensors_hooks(ledger.note, ledger.give):
        y = _forward(run, assembly, labels, count)
    y.float().square().mean().backward()
    ledger.close()
    assembly.network.zero_grad()
    return ledger.total + ledger.largest


def _flops(run: Run, assembly: Assembly, labels: LabelSpace, count: int) -> int:
    """Floating-point operations of the forward and backward pass of `count` examples."""
    with FlopCounterMode(display=False) as counter:
        _forward(run, assembly, labels, count).float().square().mean().backward()
    assembly.network.zero_grad()
    return int(counter.get_total_flops())


def _forward(run: Run, assembly: Assembly, labels: LabelSpace, count: int) -> Tensor:
    x = torch.zeros(count, *assembly.task.shape)
    part = torch.zeros(count, dtype=torch.int64) if assembly.representation.parts > 1 else None
    dropped = torch.zeros(count, dtype=torch.bool)
    with autocast(x.device, run.config.training.mixed_precision)():
        y: Tensor = assembly.network(x, torch.zeros(count), stand_in_labels(labels, count), part=part, dropped=dropped)
    return y


class _Ledger:
    """Adds up the storages that autograd keeps, each once, weights left out.

    Of blocks that will be recomputed it counts the inputs, and once what the largest keeps while it
    is recomputed: `torch.utils.checkpoint` holds inputs where no hook on saved tensors sees them.
    """

    def __init__(self, network: nn.Module, recomputed: Sequence[nn.Module] = ()) -> None:
        self._seen = {p.untyped_storage()._cdata for p in network.parameters()}
        self._kept: list[Tensor] = []  # a freed storage's address could come back
        self._hooks: list[RemovableHandle] = []
        self._before = 0
        self.total = 0
        self.largest = 0
        for block in recomputed:
            self._hooks += [
                block.register_forward_pre_hook(self._enter, with_kwargs=True),
                block.register_forward_hook(self._leave),
            ]

    def note(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in self._seen:
            self._seen.add(storage._cdata)
            self._kept.append(tensor)
            self.total += storage.nbytes()
        return tensor

    give: Callable[[Any], Tensor] = staticmethod(lambda tensor: tensor)

    def close(self) -> None:
        """Take the hooks off the blocks."""
        for hook in self._hooks:
            hook.remove()

    def _enter(self, _block: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        for given in tree_leaves((args, kwargs)):
            if isinstance(given, Tensor):
                self.note(given)
        self._before = self.total

    def _leave(self, _block: nn.Module, _args: tuple[Any, ...], out: Any) -> None:
        self.largest = max(self.largest, self.total - self._before)
        self.total = self._before
        # What comes out goes into what follows, and is counted there.
        self._seen -= {part.untyped_storage()._cdata for part in tree_leaves(out) if isinstance(part, Tensor)}


def stand_in_labels(labels: LabelSpace, count: int) -> Labels:
    """Labels of the right form and no meaning."""
    found: dict[str, Any] = {role: torch.zeros(count, dtype=torch.int64) for role in labels.categories}
    found.update({role: torch.full((count,), mean) for role, (mean, _) in labels.numbers.items()})
    found.update({role: [""] * count for role in labels.texts})
    return found
