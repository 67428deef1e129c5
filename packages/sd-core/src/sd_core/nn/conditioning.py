"""What a network is told beside its input, and the one vector that an hourglass of blocks is told of it all."""

from __future__ import annotations

from torch import Tensor, nn

from sd_core.nn.levels import InputLevel
from sd_core.nn.mapping import MappingNetwork, NoiseFeatures
from sd_core.nn.precision import without_autocast
from sd_core.task import Task


def given(condition: Tensor | None, kind: str) -> Tensor:
    """The condition that a network was built for.

    Raises:
        ValueError: It was not passed.
    """
    if condition is None:
        raise ValueError(f"the network was built for a condition by {kind} and got none")
    return condition


class MappedCondition(nn.Module):
    """Noise level, strength of the input, `vector` and `tokens`, summed and mapped (HDiT, Crowson 2024, section 4.3).

    It stays in the dtype of its weights under autocast: near noise levels differ by less than bfloat16 sees.

    Args:
        task: What the network is built for.
        width: Of the condition.
        features: Fourier features of the noise level, even.
        depth: Layers of the mapping network.
        hidden: Their inner width.
        dropout_rate: Inside them.
        input_level: Whether to tell how strong the data in the input is.
        pooling: Makes a (B, width) of the condition's tokens (B, N, D); without it they are left to the blocks.
    """

    def __init__(
        self,
        task: Task,
        width: int,
        *,
        features: int,
        depth: int,
        hidden: int,
        dropout_rate: float = 0.0,
        input_level: bool = True,
        pooling: nn.Module | None = None,
    ) -> None:
        super().__init__()
        vector = task.condition.vector
        self.noise = NoiseFeatures(features)
        self.noise_in = nn.Linear(features, width, bias=False)
        self.level = InputLevel(task.shape, width) if input_level else None
        self.vector_in = nn.Linear(vector, width, bias=False) if vector else None
        self.tokens_in = pooling
        self.mapping = MappingNetwork(width, depth, hidden, dropout_rate)

    def forward(self, x: Tensor, t: Tensor, vector: Tensor | None = None, tokens: Tensor | None = None) -> Tensor:
        """From the inputs of the network -> (B, width)."""
        with without_autocast(x.device):
            dtype = self.noise_in.weight.dtype
            told = self.noise_in(self.noise(t).to(dtype))
            if self.level is not None:
                told = told + self.level(x, t)
            if self.vector_in is not None:
                told = told + self.vector_in(given(vector, "vector").to(dtype))
            if self.tokens_in is not None:
                told = told + self.tokens_in(given(tokens, "tokens").to(dtype))
            mapped: Tensor = self.mapping(told)
        return mapped
