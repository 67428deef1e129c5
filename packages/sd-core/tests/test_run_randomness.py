import numpy as np
import pytest
import torch

from sd_core.run.randomness import Stream, normal, permutation, torch_seed, uniform, words


def test_philox_gives_the_published_words() -> None:
    """Known answer for a zero counter and key, from the authors' test vectors (Random123, kat_vectors)."""
    found = words(0, Stream(0), torch.tensor([0]), 4)[0].tolist()
    assert found == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]


def test_a_row_depends_on_its_index_only() -> None:
    together = normal(5, Stream.NOISE, torch.tensor([3, 900, 2**40 + 1]), (2, 7))
    for row, index in enumerate([3, 900, 2**40 + 1]):
        alone = normal(5, Stream.NOISE, torch.tensor([index]), (2, 7))
        assert torch.equal(together[row], alone[0])


@pytest.mark.parametrize("change", [{"seed": 6}, {"stream": Stream.SAMPLE}, {"index": 4}])
def test_seed_stream_and_index_each_change_the_draw(change: dict[str, int]) -> None:
    base = {"seed": 5, "stream": Stream.NOISE, "index": 3}

    def draw(seed: int, stream: int, index: int) -> torch.Tensor:
        return normal(seed, Stream(stream), torch.tensor([index]), (64,))[0]

    one, other = draw(**base), draw(**{**base, **change})
    assert not torch.equal(one, other)
    assert abs(float(np.corrcoef(one, other)[0, 1])) < 0.5


def test_high_bits_of_the_seed_count() -> None:
    index = torch.tensor([0])
    assert not torch.equal(words(1, Stream.NOISE, index, 4), words(1 + 2**40, Stream.NOISE, index, 4))


def test_normal_numbers_are_normal() -> None:
    x = normal(1, Stream.NOISE, torch.arange(40), (5000,)).double()
    assert x.shape == (40, 5000)
    assert abs(float(x.mean())) < 0.01
    assert abs(float(x.std()) - 1) < 0.01
    assert abs(float((x**4).mean()) - 3) < 0.08
    neighbours = x[:, 0::2] * x[:, 1::2]  # the two of one Box-Muller pair
    assert abs(float(neighbours.mean())) < 0.01


def test_uniform_numbers_stay_inside_and_are_even() -> None:
    u = uniform(1, Stream.DROPOUT, torch.arange(20_000))[:, 0]
    assert float(u.min()) > 0
    assert float(u.max()) < 1
    counts = torch.histc(u, bins=10, min=0, max=1)
    assert float((counts - 2000).abs().max()) < 200


def test_permutation_is_one_and_changes_with_the_epoch() -> None:
    orders = [permutation(3, Stream.ORDER, epoch, 501) for epoch in range(3)]
    for order in orders:
        assert sorted(order.tolist()) == list(range(501))
    assert not torch.equal(orders[0], orders[1])


def test_torch_seed_follows_from_every_coordinate() -> None:
    seeds = {torch_seed(1, step, micro, rank) for step in range(5) for micro in range(2) for rank in range(2)}
    assert len(seeds) == 20
    assert torch_seed(1, 2, 3) == torch_seed(1, 2, 3)
