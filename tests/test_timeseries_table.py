"""The external time-series table: what it trains on, what its scores say of known cases, one small run of it."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from numpy.typing import NDArray
from scipy import stats

from benchmarks.timeseries_table import data, product, scores
from benchmarks.timeseries_table.__main__ import main
from benchmarks.timeseries_table.memorisation import memorisation, nearest
from benchmarks.timeseries_table.product import training_minutes
from benchmarks.timeseries_table.recurrent import Readers
from sd_core.errors import SdError
from sd_core.windows.opening import open_split, read_meta

ROWS = 60


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    """A folder with a small table in the place of ETTh1: a date, a walk and its mirror image."""
    folder = tmp_path / "tables"
    folder.mkdir()
    walk = np.random.default_rng(0).normal(size=ROWS).cumsum()
    lines = [f"2016-07-01 {hour:02d}:00:00,{value},{-3 * value},{value**2}" for hour, value in enumerate(walk)]
    (folder / "ETTh1.csv").write_text("\n".join(["date,HUFL,HULL,OT", *lines]) + "\n", encoding="utf-8")
    return folder


def noise(count: int, seed: int, features: int = 3) -> NDArray[np.float32]:
    return np.random.default_rng(seed).random((count, data.LENGTH, features), dtype=np.float32)


def test_sines_are_slow_waves_between_a_half_and_one() -> None:
    made = data.sines(count=50)
    assert made.windows.shape == (50, 24, 5)
    assert made.windows.dtype == np.float32
    assert made.reach == 1
    assert made.windows.min() >= 0.5
    assert made.windows.max() <= 1
    # the angle of each row, from the wave: phase at the first, the same step from row to row
    angle = np.arcsin(2 * made.windows[:, :15].astype(np.float64) - 1)
    assert ((angle[:, 0] >= -1e-6) & (angle[:, 0] <= 0.1 + 1e-6)).all()
    steps = np.diff(angle, axis=1)
    assert np.abs(steps - steps[:, :1]).max() < 1e-3
    assert steps.max() <= 0.1 + 1e-3
    assert np.array_equal(made.windows, data.sines(count=50).windows)


def test_a_table_gives_all_windows_of_scaled_columns_without_the_date(tables: Path) -> None:
    made = data.table(tables / "ETTh1.csv")
    assert made.features == ("HUFL", "HULL", "OT")
    assert made.windows.shape == (ROWS - 23, 24, 3)
    assert made.reach == 24
    assert np.array_equal(made.windows.min((0, 1)), [0, 0, 0])
    assert np.array_equal(made.windows.max((0, 1)), [1, 1, 1])
    assert np.array_equal(made.windows[1:, :-1], made.windows[:-1, 1:])
    assert np.allclose(made.windows[..., 0] + made.windows[..., 1], 1, atol=1e-6)


def test_a_table_that_is_none_is_refused_in_one_sentence(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    with pytest.raises(SdError, match="--tables"):
        data.table(file)
    file.write_text("a,b\n1,x\n", encoding="utf-8")
    with pytest.raises(SdError, match="must hold numbers"):
        data.table(file)
    file.write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(SdError, match="1 rows"):
        data.table(file)
    file.write_text("a,b\n" + "1,2\n3,2\n" * 12, encoding="utf-8")
    with pytest.raises(SdError, match=r"'b'.*constant"):
        data.table(file)


def test_the_dataset_holds_what_was_written_without_a_unit(tables: Path, tmp_path: Path) -> None:
    made = data.table(tables / "ETTh1.csv")
    data.write("etth", made, tmp_path / "windows")
    assert np.array_equal(data.read(tmp_path / "windows"), made.windows)
    info = open_split(tmp_path / "windows", "train").info  # type: ignore[union-attr]
    assert (info.channel_names, info.n_samples) == (made.features, 24)
    assert read_meta(tmp_path / "windows")["unit"] == "1"


def test_judges_are_independent_and_follow_from_their_seed() -> None:
    x = torch.rand(2, 4, 24, 3)
    together, alone = Readers([1, 7], 3, 2), Readers([7], 3, 2)
    assert torch.allclose(together(x)[1:], alone(x[1:]), atol=1e-6)
    together(x)[0].sum().backward()
    assert together.gates.grad is not None
    assert not together.gates.grad[1].any()
    assert together.gates.grad[0].any()


def test_the_recurrent_cell_is_the_one_of_the_protocol() -> None:
    """h' = u h + (1 - u) tanh(W x + U (r h)), with the reset gate inside the product."""
    x = torch.rand(1, 1, 2, 1)
    reader = Readers([3], 1, 1)
    (wr, wu), (ur, uu) = reader.gates[0].tolist()
    (w,), (u,) = reader.candidate[0].tolist()
    state = 0.0
    for value in x.flatten().tolist():
        reset, update = (1 / (1 + np.exp(-(a * value + b * state + 1))) for a, b in ((wr, ur), (wu, uu)))
        state = update * state + (1 - update) * np.tanh(w * value + u * reset * state)
    assert float(reader(x)[0, -1, 0]) == pytest.approx(float(reader.out.detach()) * state, abs=1e-6)


def test_the_discriminative_score_is_near_zero_for_equals_and_near_a_half_for_strangers() -> None:
    real = data.sines(count=400, features=3).windows[:, ::4]
    fast = functools.partial(scores.discriminative, seeds=[0], iterations=100)
    assert fast(real, real)[0] < 0.12  # 160 windows are tested: one standard deviation is .04
    assert fast(real, real * np.float32(0.2))[0] > 0.45


class Echo(torch.nn.Module):
    """A forecaster that repeats the first feature."""

    def __init__(self, *_: object) -> None:
        super().__init__()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.logit(x[..., 0]).transpose(1, 2)


def test_the_predictive_score_is_the_error_of_the_last_feature_one_step_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    real = noise(50, 2)
    real[:, 1:, 2] = real[:, :-1, 0]
    monkeypatch.setattr(scores, "Readers", Echo)
    monkeypatch.setattr(scores, "fit", lambda *_: None)
    assert scores.predictive(real, noise(50, 3), [0, 1]) == pytest.approx([0, 0], abs=1e-6)
    real[:, :, 2] += 0.25
    assert scores.predictive(real, noise(50, 3), [0]) == pytest.approx([0.25], abs=1e-6)


def test_the_predictive_score_is_learned_from_the_generated() -> None:
    real, other = noise(100, 4)[:, :6], noise(100, 5)[:, :6]
    real[..., 2], other[..., 2] = 0.9, 0.1
    of_real, of_other = (scores.predictive(real, each, [0], iterations=60)[0] for each in (real, other))
    assert of_real < of_other - 0.05


def test_the_correlational_score_is_that_of_known_correlations() -> None:
    x = noise(200, 3, features=1)
    same, opposite = np.concatenate([x, x], axis=2), np.concatenate([x, 1 - x], axis=2)
    assert scores.correlation_distance(same, same) == 0
    assert scores.correlation_distance(same, opposite) == pytest.approx(0.2)
    assert max(scores.correlational(same, same, [0, 1])) < 1e-6
    assert min(scores.correlational(same, opposite, [0, 1])) == pytest.approx(0.2)


def test_memorisation_is_zero_for_copies_and_one_for_strangers(tables: Path) -> None:
    strangers = data.Series(noise(300, 4), ("a", "b", "c"), reach=1)
    assert memorisation(strangers, strangers.windows[:50])["ratio"] == 0
    assert memorisation(strangers, noise(300, 5))["ratio"] == pytest.approx(1, abs=0.05)
    series = data.table(tables / "ETTh1.csv")
    assert memorisation(series, series.windows)["neighbours"] < 0.9


def test_the_nearest_window_is_found_outside_the_excluded_ones() -> None:
    line = np.arange(5, dtype=np.float32)[:, None]
    assert nearest(line, line).tolist() == [0] * 5
    assert nearest(line, line, excluded=1).tolist() == [1] * 5
    assert nearest(line, line, excluded=3).tolist() == [3, 3, np.inf, 3, 3]


def test_the_interval_is_students() -> None:
    values = [0.01, 0.02, 0.03, 0.05, 0.04]
    mean, half = scores.mean_and_interval(values)
    low, high = stats.t.interval(0.95, 4, loc=np.mean(values), scale=stats.sem(values))
    assert (mean - half, mean + half) == pytest.approx((low, high), abs=1e-5)


def test_time_between_two_calls_is_not_training_time(tmp_path: Path) -> None:
    lines = [{"step": 10, "time": 5.0, "samples_per_s": 10.0}, {"step": 20, "time": 9e9, "samples_per_s": 20.0}]
    (tmp_path / "timing.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    assert training_minutes(tmp_path / "timing.jsonl", batch=60) == pytest.approx((60 + 30) / 60)


def test_two_steps_from_the_table_to_the_page(tables: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("discriminative", "predictive"):
        monkeypatch.setitem(scores.MEASURES, name, functools.partial(getattr(scores, name), iterations=2))
    out = tmp_path / "out"
    small = ["model.extras.layers=1", "model.extras.heads=1", "inference.denoising_steps=2", "scheduler.warmup_steps=0"]
    words = ["--sets", "etth", "--steps", "2", "--tables", str(tables), "--output-dir", str(out)]
    words += [word for each in (*small, "training.log_every_steps=1") for word in ("--set", each)]
    for _ in range(2):  # the second call finds everything there
        done = CliRunner().invoke(main, words, catch_exceptions=False)
        assert done.exit_code == 0, done.output
    page = (out / "results.md").read_text(encoding="utf-8")
    for title in ("Discriminative score | ETTh", "FM-TS | 0.011", "floor", "Memorisation", "ratio of medians"):
        assert title in page
    folder = out / "etth"
    assert (folder / "run" / "checkpoint-2").is_dir()
    (drawn,) = folder.glob("drawn-*.npy")
    assert np.load(drawn).shape == (ROWS - 23, 3, 24)
    assert len(json.loads((folder / "floor.json").read_text(encoding="utf-8"))["discriminative"]) == scores.REPEATS
    monkeypatch.setattr(product, "train", lambda *_, **__: None)  # as if a signal had ended it at once
    stopped = CliRunner().invoke(main, [*words, "--steps", "4"], catch_exceptions=False)
    assert stopped.exit_code == 2
    assert "after step 2 of 4" in stopped.output


def test_an_unknown_set_is_named() -> None:
    done = CliRunner().invoke(main, ["--sets", "stocks,energy"])
    assert done.exit_code == 2
    assert "energy" in done.output
