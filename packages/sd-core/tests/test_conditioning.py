from math import nan

import pytest
import torch
from pydantic import ValidationError

from sd_core.diffusion.conditioning import Attributes, Classes, Unconditional, drop
from sd_core.diffusion.options import AttributesOptions, ClassesOptions
from sd_core.errors import SdError
from sd_core.options import NoOptions
from sd_core.task import Conditioning, Labels, LabelSpace
from sd_core.testing.conditioner import ConditionerContract

SPACE = LabelSpace(
    categories={"class": ("rest", "task", "sleep"), "gender": ("F", "M"), "health": ("epilepsy", "healthy")},
    numbers={"age": (40.0, 10.0)},
)


class TestUnconditional(ConditionerContract):
    def conditioner(self) -> Unconditional:
        return Unconditional(NoOptions(), LabelSpace())

    def labels(self) -> Labels:
        return {}

    def missing(self) -> Labels:
        return {}


class TestClasses(ConditionerContract):
    def conditioner(self) -> Classes:
        return Classes(ClassesOptions(width=8), SPACE)

    def labels(self) -> Labels:
        return {"class": torch.tensor([2, 0, 1])}

    def missing(self) -> Labels:
        return {"class": torch.full((3,), -1)}


class TestAttributes(ConditionerContract):
    def conditioner(self) -> Attributes:
        return Attributes(AttributesOptions(width=8), SPACE)

    def labels(self) -> Labels:
        return _people([0, 1, 0], [1, 1, 0], [30.0, 71.5, 22.0])

    def missing(self) -> Labels:
        return _people([-1] * 3, [-1] * 3, [nan] * 3)


def _people(gender: list[int], health: list[int], age: list[float]) -> Labels:
    return {"gender": torch.tensor(gender), "health": torch.tensor(health), "age": torch.tensor(age)}


def _vector(conditioning: Conditioning) -> torch.Tensor:
    assert conditioning.vector is not None
    return conditioning.vector


def test_classes_are_told_apart_and_missing_ones_are_null() -> None:
    conditioner = Classes(ClassesOptions(), SPACE)
    assert conditioner.emits.vector == 256
    vector = _vector(conditioner({"class": torch.tensor([0, 1, 2, -1])}))
    assert len(torch.unique(vector, dim=0)) == 4
    assert torch.equal(vector[3], _vector(conditioner.null(1))[0])


def test_only_known_attributes_contribute() -> None:
    conditioner = Attributes(AttributesOptions(width=8), SPACE)
    vector = _vector(
        conditioner(_people([1, 1, -1, -1, -1], [0, -1, 0, -1, -1], [55.0, nan, nan, 55.0, nan])),
    )
    torch.testing.assert_close(vector[0], vector[1] + vector[2] + vector[3])
    assert torch.equal(vector[4], _vector(conditioner.null(1))[0])


def test_a_missing_age_gives_age_weights_a_zero_gradient() -> None:
    conditioner = Attributes(AttributesOptions(width=8), SPACE)
    _vector(conditioner(_people([1, 0], [0, -1], [nan, nan]))).square().sum().backward()
    gradients = [weight.grad for weight in conditioner.fields["age"].parameters()]
    assert gradients
    assert all(gradient is not None and not gradient.any() for gradient in gradients)


def test_age_is_read_in_standard_deviations_of_the_train_split() -> None:
    torch.manual_seed(0)
    young = Attributes(AttributesOptions(fields=("age",), width=8), SPACE)
    old = Attributes(AttributesOptions(fields=("age",), width=8), LabelSpace(numbers={"age": (60.0, 5.0)}))
    old.fields["age"].get_submodule("project").load_state_dict(
        young.fields["age"].get_submodule("project").state_dict()
    )
    torch.testing.assert_close(
        _vector(young({"age": torch.tensor([30.0, 55.0])})), _vector(old({"age": torch.tensor([55.0, 67.5])}))
    )
    # The scale is part of the model, not of the data it is used on.
    old.load_state_dict(young.state_dict())
    age = {"age": torch.tensor([18.0, 90.0])}
    assert torch.equal(_vector(young(age)), _vector(old(age)))


def test_ages_are_told_apart_smoothly() -> None:
    torch.manual_seed(0)
    conditioner = Attributes(AttributesOptions(fields=("age",)), SPACE)
    vector = _vector(conditioner({"age": torch.tensor([40.0, 41.0, 50.0, 70.0, 10.0])}))
    distance = (vector - vector[0]).square().mean(1).tolist()
    assert 0 < distance[1] < 0.1 < distance[2]
    assert distance[3] > 0.5
    assert distance[4] > 0.5


def test_one_age_for_all_is_no_division_by_zero() -> None:
    conditioner = Attributes(AttributesOptions(fields=("age",), width=8), LabelSpace(numbers={"age": (23.0, 0.0)}))
    assert bool(_vector(conditioner({"age": torch.tensor([23.0, 24.0])})).isfinite().all())


def test_what_the_dataset_lacks_is_named_with_its_key() -> None:
    poor = LabelSpace(categories={"gender": ("F", "M")}, numbers={"age": (40.0, 10.0)}, texts=frozenset({"caption"}))
    with pytest.raises(SdError, match=r"dataset\.class_column; the dataset has age, caption, gender"):
        Classes(ClassesOptions(), poor)
    with pytest.raises(SdError, match=r"'health'.*dataset\.health_column, or leave it out of conditioning\.fields"):
        Attributes(AttributesOptions(), poor)
    with pytest.raises(SdError, match=r"dataset\.age_column.*has no labels"):
        Attributes(AttributesOptions(fields=("age",)), LabelSpace())
    with pytest.raises(SdError, match="no window of the train split"):
        Attributes(AttributesOptions(fields=("age",)), LabelSpace(numbers={"age": (nan, nan)}))


@pytest.mark.parametrize("fields", [(), ("age", "age"), ("height",)])
def test_fields_are_a_choice_of_known_attributes(fields: tuple[str, ...]) -> None:
    with pytest.raises(ValidationError):
        AttributesOptions.model_validate({"fields": fields})


def test_tokens_are_dropped_by_row() -> None:
    tokens = Conditioning(tokens=torch.ones(3, 4, 5))
    null = Conditioning(tokens=torch.zeros(4, 5).expand(3, 4, 5))
    dropped = drop(tokens, null, torch.tensor([True, False, True])).tokens
    assert dropped is not None
    assert dropped.sum((1, 2)).tolist() == [0.0, 20.0, 0.0]


def test_class_and_subject_may_be_attributes() -> None:
    space = LabelSpace(categories={"class": ("rest", "arithmetic"), "subject": ("S1", "S2", "S3")})
    conditioner = Attributes(AttributesOptions(fields=("class", "subject"), width=8), space)
    labels = {"class": torch.tensor([0, 0, 1, -1]), "subject": torch.tensor([0, 2, 2, -1])}
    told, untold = conditioner(labels).vector, conditioner.null(1).vector
    assert told is not None
    assert untold is not None
    assert len({tuple(row.tolist()) for row in told}) == 4
    assert torch.equal(told[3:], untold)
    with pytest.raises(SdError, match=r"needs 'subject', .* it needs a column 'subject', or leave it out"):
        Attributes(AttributesOptions(fields=("class", "subject")), LabelSpace(categories={"class": ("rest", "other")}))
