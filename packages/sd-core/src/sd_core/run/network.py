"""The one module that is trained: denoiser, conditioner and electrode embedding together.

They live in one `nn.Module` because what is left outside is not synchronised between processes,
not averaged, not clipped and not saved.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from sd_core.diffusion.conditioning import drop as drop_condition
from sd_core.task import Condition, Conditioning, Labels

if TYPE_CHECKING:
    from sd_core.protocols import Conditioner, Denoiser

PART_WIDTH = 256
"""Width of the electrode embedding when no conditioner gives the width."""
_COMPILED_FORMS = 64
"""How many forms of one class of blocks a process may compile."""


def with_parts(condition: Condition, parts: int) -> Condition:
    """What the denoiser is told: the condition, and which electrode when a window has several parts."""
    if parts == 1 or condition.vector:
        return condition
    return Condition(vector=PART_WIDTH, tokens=condition.tokens)


class Network(nn.Module):
    """Labels and a noisy example in, the denoiser's prediction out."""

    def __init__(self, denoiser: Denoiser, conditioner: Conditioner, parts: int = 1) -> None:
        super().__init__()
        self.denoiser = cast(nn.Module, denoiser)
        self.conditioner = conditioner
        width = with_parts(conditioner.emits, parts).vector
        self.part_embedding = nn.Embedding(parts, width) if parts > 1 else None
        if self.part_embedding is not None:
            nn.init.normal_(self.part_embedding.weight, std=0.02)
        self.frozen: frozenset[str] = frozenset()
        """Names in the state dict that stay as in the base that adapters stand on; see `sd_core.run.lora`."""

    def forward(
        self,
        x: Tensor,
        t: Tensor,
        labels: Labels,
        *,
        part: Tensor | None = None,
        dropped: Tensor | None = None,
    ) -> Tensor:
        """Predict for x (B, C, H, W) at t (B,); rows where `dropped` (B,) see the null condition.

        `part` (B,) int64 is the electrode of each example; its embedding is never dropped.
        """
        condition = self.conditioner(labels)
        if dropped is not None:
            condition = drop_condition(condition, self.conditioner.null(len(x)), dropped)
        condition = self._with_part(condition, part)
        predicted: Tensor = self.denoiser(x, t, condition.vector, condition.tokens)
        if predicted.shape != x.shape:  # it would broadcast, and train on nonsense
            name = type(self.denoiser).__name__
            raise ValueError(f"{name} made {tuple(predicted.shape)} of an input {tuple(x.shape)}; they must be alike")
        return predicted

    def _with_part(self, condition: Conditioning, part: Tensor | None) -> Conditioning:
        if self.part_embedding is None:
            return condition
        if part is None:
            raise ValueError("this network needs to know which electrode each example is")
        embedded = self.part_embedding(part)
        return Conditioning(
            vector=embedded if condition.vector is None else condition.vector + embedded,
            tokens=condition.tokens,
        )

    def own_state(self) -> dict[str, Tensor]:
        """What a checkpoint stores: everything, or with adapters what is not the base's."""
        return {name: tensor for name, tensor in self.state_dict().items() if name not in self.frozen}

    def base_state(self) -> dict[str, Tensor]:
        """What adapters stand on; nothing in a network without adapters."""
        return {name: tensor for name, tensor in self.state_dict().items() if name in self.frozen}

    def load_own(self, weights: Mapping[str, Tensor]) -> None:
        """Take back what `own_state` gave.

        Raises:
            RuntimeError: a tensor is missing, unknown or of another shape.
        """
        self.load_state_dict({**self.base_state(), **weights})

    def parameter_roles(self) -> dict[str, str]:
        """Role of every trainable parameter: "matrix", "embedding", "mapping" or "vector".

        The denoiser names its own (`param_roles`); of the rest, gains, biases and looked-up tables are
        vectors and the others embeddings, so that Muon only moves what an author named.
        """
        own: dict[str, str] = getattr(self.denoiser, "param_roles", dict)()
        tables = {f"{name}.weight" for name, module in self.named_modules() if isinstance(module, nn.Embedding)}
        roles = {**dict.fromkeys(tables, "vector"), **{f"denoiser.{name}": role for name, role in own.items()}}
        return {
            name: roles.get(name, "vector" if parameter.ndim < 2 else "embedding")
            for name, parameter in self.named_parameters()
            if parameter.requires_grad
        }

    def blocks(self) -> list[nn.Module]:
        """The denoiser's repeated blocks: units of checkpointing and compilation."""
        return list(getattr(self.denoiser, "block_modules", list)())

    def compile_blocks(self, mode: str) -> None:
        """Compile each block in place: minutes less waiting than compiling the whole network."""
        # Blocks of one class share one cache: each level of a U has its own form, in training and in sampling, at
        # every batch size. Past PyTorch's limit of 8, the others would run uncompiled from then on.
        dynamo = torch._dynamo.config
        dynamo.recompile_limit = max(dynamo.recompile_limit, _COMPILED_FORMS)
        for block in self.blocks() or [self.denoiser]:
            block.compile(mode=None if mode == "default" else mode)

    def checkpoint_blocks(self) -> None:
        """Recompute each block's activations in the backward pass."""
        for block in self.blocks():
            _checkpoint(block)


def _checkpoint(block: nn.Module) -> None:
    from torch.utils.checkpoint import checkpoint

    plain = block.forward

    def forward(*args: Any, **kwargs: Any) -> Any:
        if not torch.is_grad_enabled():
            return plain(*args, **kwargs)
        return checkpoint(plain, *args, use_reentrant=False, **kwargs)

    block.forward = forward


def trainable(network: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Named parameters that an optimizer moves."""
    return ((name, p) for name, p in network.named_parameters() if p.requires_grad)
