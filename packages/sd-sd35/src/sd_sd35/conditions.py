"""Any condition in the two places where Stable Diffusion 3 takes its text."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sd_core.plugin import Condition


class TextInputs(nn.Module):
    """A vector to the pooled text, tokens to the text states.

    | | pooled text | text states |
    |---|---|---|
    | vector, tokens of the transformer's own widths | the vector | the tokens |
    | of other widths | projected | projected |
    | vector alone | as above | one token, projected from the vector |
    | tokens alone | a learned vector | as above |
    | nothing | a learned vector | a learned token |

    Projections and learned ones start at zero: the zeros that the pipeline puts in the place of an encoder
    that is left out are what a pretrained transformer knows, and the condition grows from there.
    """

    def __init__(self, condition: Condition, pooled: int, joint: int) -> None:
        super().__init__()
        vector, tokens = condition.vector, condition.tokens
        self.pooled_in = _projection(vector, pooled)
        self.tokens_in = _projection(tokens or vector, joint) if tokens or vector else None
        self.pooled = None if vector else nn.Parameter(torch.zeros(1, pooled))
        self.token = None if tokens or vector else nn.Parameter(torch.zeros(1, 1, joint))
        self._kinds = condition.needs

    def forward(self, count: int, vector: Tensor | None, tokens: Tensor | None) -> tuple[Tensor, Tensor]:
        """Vector (B, D) and/or tokens (B, N, D) -> pooled text (B, pooled), text states (B, N, joint)."""
        for kind, given in (("vector", vector), ("tokens", tokens)):
            if (given is not None) != (kind in self._kinds):
                raise ValueError(f"the network was built for conditions by {set(self._kinds) or 'nothing'}: {kind}")
        return self._pooled(count, vector), self._states(count, vector, tokens)

    def _pooled(self, count: int, vector: Tensor | None) -> Tensor:
        if self.pooled is not None or vector is None:
            assert self.pooled is not None, "checked in forward"
            return self.pooled.expand(count, -1)
        return vector if self.pooled_in is None else self.pooled_in(vector)

    def _states(self, count: int, vector: Tensor | None, tokens: Tensor | None) -> Tensor:
        if self.token is not None:
            return self.token.expand(count, -1, -1)
        if tokens is None:
            assert vector is not None, "checked in forward"
            tokens = vector[:, None]
        return tokens if self.tokens_in is None else self.tokens_in(tokens)

    def tables(self) -> list[nn.Parameter]:
        """What is looked up rather than multiplied."""
        return [table for table in (self.pooled, self.token) if table is not None]


def _projection(given: int, wanted: int) -> nn.Linear | None:
    """None for what has the right width, or is not there."""
    if given in (0, wanted):
        return None
    layer = nn.Linear(given, wanted, bias=False)
    nn.init.zeros_(layer.weight)
    return layer
