"""What every conditioner must do: subclass `ConditionerContract` in a test module of your plugin."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from sd_core.diffusion.conditioning import drop
from sd_core.task import Conditioning, Labels

if TYPE_CHECKING:
    from sd_core.protocols import Conditioner


class ConditionerContract:
    """Tests of a conditioner; a subclass named `Test...` says which one.

    Example:
        class TestMine(ConditionerContract):
            def conditioner(self): return Mine(MineOptions(), LabelSpace(categories={"class": ("a", "b")}))
            def labels(self): return {"class": torch.tensor([0, 1, 1])}
            def missing(self): return {"class": torch.tensor([-1, -1, -1])}
    """

    def conditioner(self) -> Conditioner:
        """The conditioner under test."""
        raise NotImplementedError

    def labels(self) -> Labels:
        """Three examples whose labels are all known."""
        raise NotImplementedError

    def missing(self) -> Labels:
        """Three examples whose labels are all missing."""
        raise NotImplementedError

    def test_it_says_which_labels_it_reads(self) -> None:
        """`roles` names what `labels()` holds."""
        assert self.conditioner().roles == set(self.labels())

    def test_it_emits_what_it_says(self) -> None:
        """The widths of `emits` are those of its output, with labels and without."""
        conditioner = self.conditioner()
        for conditioning in (conditioner(self.labels()), conditioner.null(3)):
            vector, tokens = conditioning.vector, conditioning.tokens
            assert (vector is not None) == bool(conditioner.emits.vector)
            assert (tokens is not None) == bool(conditioner.emits.tokens)
            assert vector is None or vector.shape == (3, conditioner.emits.vector)
            assert tokens is None or (len(tokens), tokens.shape[2]) == (3, conditioner.emits.tokens)

    def test_no_label_is_the_null_condition(self) -> None:
        """There is one "no condition": for missing labels, for dropout and for guidance."""
        conditioner = self.conditioner()
        for got, null in _pairs(conditioner(self.missing()), conditioner.null(3)):
            torch.testing.assert_close(got, null, rtol=0, atol=0)

    def test_dropout_replaces_whole_rows_and_no_others(self) -> None:
        """`drop` puts the null condition in the place of the rows that it is told to."""
        conditioner = self.conditioner()
        full, null = conditioner(self.labels()), conditioner.null(3)
        dropped = drop(full, null, torch.tensor([False, True, False]))
        for got, kept in _pairs(dropped, full):
            assert torch.equal(got[0], kept[0])
            assert torch.equal(got[2], kept[2])
        for got, nothing in _pairs(dropped, null):
            assert torch.equal(got[1], nothing[1])

    def test_every_weight_has_a_finite_gradient(self) -> None:
        """Whatever is missing or dropped: distributed training waits for every parameter."""
        for labels in (self.labels(), self.missing()):
            for dropped in (True, False):
                conditioner = self.conditioner()
                if not isinstance(conditioner, nn.Module):
                    return
                _backward(drop(conditioner(labels), conditioner.null(3), torch.full((3,), dropped)))
                for name, weight in conditioner.named_parameters():
                    assert not weight.requires_grad or weight.grad is not None, f"{name} is not in the graph"
                    assert weight.grad is None or bool(weight.grad.isfinite().all()), f"{name}: gradient not finite"


def _pairs(one: Conditioning, other: Conditioning) -> Iterator[tuple[Tensor, Tensor]]:
    for a, b in ((one.vector, other.vector), (one.tokens, other.tokens)):
        if a is not None and b is not None:
            yield a, b


def _backward(conditioning: Conditioning) -> None:
    loss = torch.stack([part.square().sum() for part, _ in _pairs(conditioning, conditioning)] or [torch.zeros(())])
    if loss.requires_grad:
        loss.sum().backward()
