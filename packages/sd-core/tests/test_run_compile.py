"""Per-block compilation."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from sd_core.run.network import Network
from sd_core.task import Condition


class Block(nn.Module):
    """Of its own width, as on the levels of a U."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.linear(x)
        return out


class Levels(nn.Module):
    """A network of more forms of one block than PyTorch compiles unasked."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(width) for width in range(2, 14))

    def block_modules(self) -> list[nn.Module]:
        return list(self.blocks)


def test_every_form_of_a_block_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[object] = []

    def backend(graph: torch.fx.GraphModule, _: object) -> object:
        compiled.append(graph)
        return graph.forward

    plain = nn.Module.compile
    monkeypatch.setattr(nn.Module, "compile", lambda block, **_: plain(block, backend=backend))
    torch.compiler.reset()
    levels = Levels()
    # monkeypatch would delete what a module answers through __getattr__, and break every later compilation.
    with torch._dynamo.config.patch(recompile_limit=8):
        Network(cast(Any, levels), cast(Any, SimpleNamespace(emits=Condition()))).compile_blocks("default")
        for block in levels.block_modules():
            width = cast(Block, block).linear.in_features
            block(torch.ones(1, width))
    assert len(compiled) == 12
    torch.compiler.reset()
