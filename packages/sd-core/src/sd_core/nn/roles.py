"""What a parameter is for, so that an optimizer can treat it rightly.

| role | what | optimizer |
|---|---|---|
| "matrix" | hidden matrices inside the blocks, width to width | Muon or AdamW, weight decay |
| "embedding" | maps into, out of and around the blocks: patches, conditions, modulation, output | AdamW, weight decay |
| "mapping" | a mapping network and what it modulates with | AdamW at a third of the learning rate, no weight decay |
| "vector" | gains, biases, tables that are looked up: positions, classes, electrodes | AdamW, no weight decay |

Muon orthogonalises its update, which suits only maps between hidden states (Jordan 2024).
What turns a condition into gains reaches every block at once, hence its smaller steps (HDiT, Crowson 2024).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from torch import nn

Role = Literal["matrix", "embedding", "mapping", "vector"]


def parameter_roles(
    network: nn.Module,
    *,
    matrices: Iterable[nn.Module],
    tables: Iterable[nn.Parameter] = (),
    mapping: Iterable[nn.Module] = (),
) -> dict[str, Role]:
    """The role of every parameter of a network, by its name.

    Args:
        network: Whose `named_parameters` are told apart.
        matrices: The linear layers inside its blocks.
        tables: Parameters with two or more axes that are looked up rather than multiplied.
        mapping: Modules whose parameters all belong to the mapping.
    """
    hidden = {id(layer.weight) for layer in matrices}
    looked_up = {id(table) for table in tables}
    mapped = {id(parameter) for module in mapping for parameter in module.parameters()}

    def role(parameter: nn.Parameter) -> Role:
        if id(parameter) in mapped:
            return "mapping"
        if parameter.ndim < 2 or id(parameter) in looked_up:
            return "vector"
        return "matrix" if id(parameter) in hidden else "embedding"

    return {name: role(parameter) for name, parameter in network.named_parameters()}
