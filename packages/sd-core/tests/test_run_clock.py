"""The time left counts the evaluations."""

from functools import partial

import pytest

from sd_core.config.sections import Training
from sd_core.run.clock import Clock, in_words
from sd_core.run.console import Bar, Lines
from sd_core.run.train import Calendar


class Hand:
    """A clock that is moved by hand."""

    seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def test_evaluations_count_in_the_time_left() -> None:
    hand = Hand()
    clock = Clock(total=40, first=10, evaluations=3, now=hand)
    hand.seconds += 20
    assert clock.left(20) == pytest.approx(40)  # 20 steps of 2 s
    clock.evaluating()
    hand.seconds += 7
    assert clock.left(20) == pytest.approx(40)  # not known yet, and nothing that a step took
    clock.evaluated()
    assert clock.left(20) == pytest.approx(40 + 2 * 7)
    clock.evaluating()
    hand.seconds += 1
    assert clock.left(20) == pytest.approx(40 + 2 * 7)
    clock.evaluated()
    assert clock.left(20) == pytest.approx(40 + 4)
    clock.evaluating()
    clock.evaluated()
    assert clock.left(20) == pytest.approx(40)


@pytest.mark.parametrize(("done", "to_come"), [(0, 4), (2, 4), (3, 3), (9, 1)])
def test_the_calendar_knows_how_many_evaluations_come(done: int, to_come: int) -> None:
    calendar = Calendar(Training(eval_strategy="steps", eval_num_steps=3), per_step=4, epoch_size=8)
    assert calendar.evaluations(done, 10) == to_come  # after 3, 6, 9 and at the end


def test_epochs_and_runs_without_evaluations() -> None:
    assert Calendar(Training(eval_strategy="epoch"), per_step=4, epoch_size=8).evaluations(0, 10) == 5
    assert Calendar(Training(eval_strategy="no"), per_step=4, epoch_size=8).evaluations(0, 10) == 0


@pytest.mark.parametrize(("seconds", "words"), [(0.4, "0 s"), (119, "119 s"), (200, "3 min"), (7500, "2 h 05 min")])
def test_times_read_easily(seconds: float, words: str) -> None:
    assert in_words(seconds) == words


def test_a_line_says_the_time_left(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    hand = Hand()
    monkeypatch.setattr("sd_core.run.console.Clock", partial(Clock, now=hand))
    with Bar(40, 10).expecting(2) as bar:
        hand.seconds += 30
        bar.advance(20)
        bar.evaluating()
        hand.seconds += 20
        bar.report({"val_loss": 0.25})
        hand.seconds += 10
        bar.scored("error 2.00 x floor")
        bar.evaluated()
        bar.report({"loss": 0.5})
    assert capsys.readouterr().err.splitlines() == [
        "step 20/40  held-out 0.2500  eta 60 s",
        "step 20/40  error 2.00 x floor",
        "step 20/40  loss 0.5000  eta 90 s",
    ]


def test_lines_come_by_name_and_else_seldom(capsys: pytest.CaptureFixture[str]) -> None:
    hand = Hand()
    judging, drawing = (Lines(what, total, now=hand) for what, total in (("judging", 2), ("drawing", 8)))
    for done, metric in ((0, "mmd"), (1, "c2st"), (1, "")):
        judging(done, metric)
        hand.seconds += 4
    for _ in range(4):
        hand.seconds += 4
        drawing(2)
    assert capsys.readouterr().err.splitlines() == [
        "judging 0/2, now mmd, after 0 s",
        "judging 1/2, now c2st, after 4 s",
        "judging 2/2, after 8 s",
        "drawing 2/8, after 16 s",
        "drawing 8/8, after 28 s",
    ]
