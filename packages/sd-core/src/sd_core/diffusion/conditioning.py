"""Labels to vectors: the conditioners "none", "classes" and "attributes", and label dropout."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from sd_core.diffusion.options import AttributesOptions, ClassesOptions
from sd_core.errors import SdError
from sd_core.options import NoOptions
from sd_core.task import Condition, Conditioning, Labels, LabelSpace


def drop(conditioning: Conditioning, null: Conditioning, mask: Tensor) -> Conditioning:
    """The conditioning, with the rows where `mask` (B,) is True replaced by the null condition.

    It selects with `where` instead of indexing, so that every parameter of the conditioner stays in
    the graph whatever the mask: a distributed step waits for all of them.
    """
    return Conditioning(
        vector=_select(mask, null.vector, conditioning.vector),
        tokens=_select(mask, null.tokens, conditioning.tokens),
    )


def _select(mask: Tensor, null: Tensor | None, kept: Tensor | None) -> Tensor | None:
    if null is None or kept is None:
        assert null is kept, "a conditioner must emit the same kinds with and without labels"
        return None
    return torch.where(mask.reshape(-1, *(1,) * (kept.ndim - 1)), null, kept)


class Unconditional(nn.Module):
    """The conditioner "none": emits nothing."""

    emits = Condition()
    roles = frozenset[str]()

    def __init__(self, options: NoOptions, labels: LabelSpace) -> None:  # noqa: ARG002 - all are built alike
        super().__init__()

    def forward(self, labels: Labels) -> Conditioning:  # noqa: ARG002 - all are called alike
        """No conditioning, whatever the labels."""
        return Conditioning()

    def null(self, count: int) -> Conditioning:  # noqa: ARG002 - all are called alike
        """No conditioning."""
        return Conditioning()


class Classes(nn.Module):
    """The conditioner "classes": one learned vector per class, and one for "no class".

    Raises:
        SdError: the dataset has no class column.
    """

    roles = frozenset({"class"})

    def __init__(self, options: ClassesOptions, labels: LabelSpace) -> None:
        super().__init__()
        self.emits = Condition(vector=options.width)
        self._count = len(_categories("classes", "class", labels))
        self.table = nn.Embedding(self._count + 1, options.width)

    def forward(self, labels: Labels) -> Conditioning:
        """`labels["class"]` (B,) int64, -1 for missing -> vector (B, width)."""
        index: Tensor = labels["class"]
        return Conditioning(vector=self.table(torch.where(index < 0, self._count, index)))

    def null(self, count: int) -> Conditioning:
        """The vector of "no class", (count, width)."""
        return Conditioning(vector=self.table.weight[self._count].expand(count, -1))


class Attributes(nn.Module):
    """The conditioner "attributes": the sum of the vectors of those attributes that are known.

    A missing attribute adds nothing; where all are missing, the vector is the learned null.

    Raises:
        SdError: the dataset has no column for one of the fields.
    """

    def __init__(self, options: AttributesOptions, labels: LabelSpace) -> None:
        super().__init__()
        self.emits = Condition(vector=options.width)
        self.roles: frozenset[str] = frozenset(options.fields)
        self.fields = nn.ModuleDict({field: _field(field, options.width, labels) for field in options.fields})
        self.unknown = nn.Parameter(torch.randn(options.width))
        self._scale = len(options.fields) ** -0.5

    def forward(self, labels: Labels) -> Conditioning:
        """(B,) labels of each field, -1 or NaN for missing -> vector (B, width)."""
        parts = [field(labels[name]) for name, field in self.fields.items()]
        total = self._scale * torch.stack([vector for vector, _ in parts]).sum(0)
        known = torch.stack([known for _, known in parts]).any(0)
        return Conditioning(vector=torch.where(known[:, None], total, self.unknown))

    def null(self, count: int) -> Conditioning:
        """The learned vector of "nothing known", (count, width)."""
        return Conditioning(vector=self.unknown.expand(count, -1))


class CategoryField(nn.Module):
    """One learned vector per value of a categorical attribute."""

    def __init__(self, count: int, width: int) -> None:
        super().__init__()
        self.table = nn.Embedding(count, width)

    def forward(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """(B,) int64, -1 for missing -> vector (B, width), zero where missing; known (B,)."""
        known = index >= 0
        return torch.where(known[:, None], self.table(index.clamp(min=0)), 0.0), known


class NumberField(nn.Module):
    """A number, standardised with the train split's statistics, as a linear map of Fourier features.

    Periods run from 1.5 to 25 standard deviations: fine enough to tell decades of age apart, coarse
    enough for the ends not to meet.
    """

    def __init__(self, mean: float, std: float, width: int) -> None:
        super().__init__()
        # Statistics travel in the checkpoint: a model keeps the scale it was trained with.
        self.register_buffer("mean", torch.tensor(mean))
        self.register_buffer("std", torch.tensor(max(std, SMALLEST_STD)))
        self.register_buffer("frequencies", torch.logspace(math.log10(0.25), math.log10(4), 8), persistent=False)
        self.project = nn.Linear(2 * 8, width, bias=False)
        nn.init.normal_(self.project.weight, std=8**-0.5)  # unit variance, like the tables' vectors

    mean: Tensor
    std: Tensor
    frequencies: Tensor

    def forward(self, number: Tensor) -> tuple[Tensor, Tensor]:
        """(B,) float, NaN for missing -> vector (B, width), zero where missing; known (B,)."""
        known = ~torch.isnan(number)
        # Replaced before any arithmetic: 0 x NaN would reach the gradients through a later where.
        number = torch.where(known, number, self.mean)
        angle = ((number - self.mean) / self.std)[:, None] * self.frequencies
        vector = self.project(torch.cat([angle.cos(), angle.sin()], dim=1))
        return torch.where(known[:, None], vector, 0.0), known


SMALLEST_STD = 1.0
"""Floor of a number's standard deviation, in its own unit: one year, for age."""


def _field(role: str, width: int, labels: LabelSpace) -> CategoryField | NumberField:
    if role in labels.numbers:
        mean, std = labels.numbers[role]
        if not (math.isfinite(mean) and math.isfinite(std)):
            raise SdError(
                f"conditioning 'attributes': no window of the train split has a value for '{role}'; "
                f"leave it out of conditioning.fields."
            )
        return NumberField(mean, std, width)
    return CategoryField(
        len(_categories("attributes", role, labels, ", or leave it out of conditioning.fields")), width
    )


def _categories(conditioner: str, role: str, labels: LabelSpace, otherwise: str = "") -> tuple[str, ...]:
    values = labels.categories.get(role, ())
    if not values:
        there = sorted({*labels.categories, *labels.numbers, *labels.texts} - {role})
        # Whose window it is stands in the column that every window dataset has for that; no key renames it.
        remedy = "it needs a column 'subject'" if role == "subject" else f"name its column with dataset.{role}_column"
        raise SdError(
            f"conditioning '{conditioner}' needs '{role}', which this dataset does not have: {remedy}{otherwise}; "
            f"the dataset has {', '.join(there) or 'no labels'}."
        )
    return values
