import pickle

import numpy as np

from sd_core.run.stream import SampleStream, Shares


def test_every_epoch_holds_every_example_once() -> None:
    stream = SampleStream(7, seed=1, parts=3)
    for epoch in range(3):
        seen = stream.examples(np.arange(epoch * 21, (epoch + 1) * 21))
        assert sorted(seen.tolist()) == list(range(21))


def test_a_place_does_not_depend_on_how_it_is_asked_for() -> None:
    positions = np.arange(0, 40)
    whole = SampleStream(7, seed=1).examples(positions)
    singly = [int(SampleStream(7, seed=1).examples(np.array([p]))[0]) for p in positions]
    assert whole.tolist() == singly


def test_two_processes_read_what_one_reads_in_two_micro_steps() -> None:
    alone = list(Shares(4, micro_steps=2).positions(3, 6))
    pair = [list(Shares(4, processes=2, rank=rank).positions(3, 6)) for rank in range(2)]
    assert alone == [share for both in zip(*pair, strict=True) for share in both]


def test_shares_cover_the_step_without_overlap() -> None:
    shares = [Shares(3, micro_steps=2, processes=2, rank=rank) for rank in range(2)]
    dealt = [p for share in shares for batch in share.positions(5, 6) for p in batch]
    assert sorted(dealt) == list(range(5 * 12, 6 * 12))


def test_weights_change_how_often_a_window_comes() -> None:
    weights = np.array([0.5, 0.5, 2.0, 1.0])
    stream = SampleStream(4, seed=2, weights=weights)
    drawn = np.bincount(stream.examples(np.arange(4000)), minlength=4) / 4000
    np.testing.assert_allclose(drawn, weights / 4, atol=0.03)


def test_a_stream_travels_to_a_worker() -> None:
    stream = SampleStream(7, seed=1, parts=2)
    stream.examples(np.arange(40))
    copy = pickle.loads(pickle.dumps(stream))
    assert copy.examples(np.arange(60)).tolist() == stream.examples(np.arange(60)).tolist()
