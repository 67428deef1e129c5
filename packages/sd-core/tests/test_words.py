"""Words as hashed vectors: the same in every process, near for misspellings, in any script; and quickly learned."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sd_core.diffusion.captions import Caption
from sd_core.diffusion.conditioning import Classes
from sd_core.diffusion.options import CaptionOptions, ClassesOptions
from sd_core.diffusion.words import Words, hashed, spans
from sd_core.task import LabelSpace

SPACE = LabelSpace(categories={"class": ("rest", "arithmetic")}, texts=frozenset({"caption"}))


def vectors(*words: str, rows: int = 4096, texts: tuple[str, ...] | None = None) -> Tensor:
    """Vectors of words of which each stands in one training caption, unless `texts` says otherwise."""
    torch.manual_seed(0)
    table = Words(rows, 256)
    table.count((*words, "what", "else") if texts is None else texts)
    found: Tensor = table(words)[0].detach()
    return found


def size(vector: Tensor) -> float:
    """1 for a row of a table of classes."""
    return float(vector.pow(2).mean().sqrt())


def test_every_word_is_as_large_as_a_class() -> None:
    made = vectors("rest", "arithmetic", "a", "Gehirnstrombild", "脳波", "electroencephalographically")
    assert [size(vector) for vector in made] == pytest.approx([1] * 6, abs=0.2)


def test_what_all_captions_share_and_what_none_has_say_nothing() -> None:
    texts = tuple(f"EEG {state} {health}" for state in ("rest", "work") for health in ("H", "H", "H", "PD"))
    everywhere, half, often, nowhere = vectors("EEG", "rest", "H", "qqqq", texts=texts)
    assert size(everywhere) == 0
    assert size(half) == pytest.approx(1, abs=0.2)
    assert size(often) == pytest.approx(math.log2(4 / 3) ** 0.5, abs=0.2)
    assert size(nowhere) == 0


def test_size_is_the_variance_that_is_told() -> None:
    torch.manual_seed(0)
    table = Words(4096, 4096)
    table.count(["rest", "rest man", "rest woman", "rest PD"])
    found, variance = table(["rest", "man", "PD", "men"])
    torch.testing.assert_close(found.pow(2).mean(1), variance, rtol=0.2, atol=0.02)


def test_a_misspelling_is_near_and_another_word_is_not() -> None:
    right, wrong, inflected, other = vectors(
        "arithmetic", "arithmetik", "arithmetics", "resting", texts=("arithmetic", "resting", "else")
    )
    assert F.cosine_similarity(right, wrong, dim=0) > 0.7
    assert F.cosine_similarity(right, inflected, dim=0) > 0.7
    assert F.cosine_similarity(right, other, dim=0) < 0.3


def test_case_and_width_of_letters_do_not_matter() -> None:
    plain, capital, full_width = vectors("rest", "Rest", "\uff52\uff45\uff53\uff54")
    assert torch.equal(plain, capital)
    assert torch.equal(plain, full_width)


def test_rows_are_the_same_in_every_process() -> None:
    program = "from sd_core.diffusion.words import hashed; print(hashed('Büro', 4096))"
    asked = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert asked.stdout.strip() == str(hashed("Büro", 4096))


def test_spans_count_bytes() -> None:
    assert spans("Büro, 脳波!") == [("Büro", 0, 5), ("脳波", 7, 13)]
    assert spans(" -- ") == []


FACTORS = (("rest", "arithmetic"), ("man", "woman"), ("H", "PD"))
TEMPLATE = "EEG of a {1} ({2}), recorded in a quiet room with closed eyes during {0}"


def spoken(states: Tensor) -> list[str]:
    """Captions of (B, 3) choices."""
    return [TEMPLATE.format(*(pair[one] for pair, one in zip(FACTORS, row, strict=True))) for row in states.tolist()]


def test_a_small_effect_of_a_word_is_learned_as_fast_as_that_of_a_class() -> None:
    """One word of a long caption, beside two others that change; 60 steps of 8 examples in noise.

    Classes recover 1.01 of it, words .99; without their gain it is .67, uncounted they leave it to the bytes: 0.
    """
    torch.manual_seed(0)
    classes = Classes(ClassesOptions(width=64), SPACE)
    by_class = recovered(lambda chosen: classes({"class": chosen[:, 0]}).vector, classes)
    options = CaptionOptions(width=64, layers=1, tokens=1, emit=("vector",))
    caption = Caption(options, SPACE)
    caption.prepare(spoken(CHOICES))
    by_word = recovered(lambda chosen: caption({"caption": spoken(chosen)}).vector, caption)
    assert by_class > 0.5
    assert by_word > 0.8 * by_class


CHOICES = torch.cartesian_prod(*[torch.arange(2)] * 3)
"""(8, 3): every combination of the factors."""


def recovered(told: Callable[[Tensor], Tensor | None], conditioner: nn.Module) -> float:
    """The share of the first factor's effect that a linear readout of the vector has learned with it."""
    readout = nn.Linear(64, 16, bias=False)
    nn.init.zeros_(readout.weight)
    optimizer = torch.optim.AdamW([*conditioner.parameters(), *readout.parameters()], lr=1e-3)
    generator = torch.Generator().manual_seed(1)
    effects = torch.randn(16, generator=generator) / 20
    for _ in range(60):
        chosen = CHOICES[torch.randint(8, (8,), generator=generator)]
        target = (2 * chosen[:, :1] - 1) * effects + torch.randn(8, 16, generator=generator)
        vector = told(chosen)
        assert vector is not None
        optimizer.zero_grad()
        F.mse_loss(readout(vector), target).backward()
        optimizer.step()
    vector = told(CHOICES)
    assert vector is not None
    learned = ((2 * CHOICES[:, :1] - 1) * readout(vector)).mean(0).detach()
    return float(learned @ effects / (effects @ effects))
