"""Every mistake in a config is answered with file, line, key and remedy; all of them at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sd_core.config.read import read_resolved, read_run
from sd_core.errors import SdError
from sd_core.registry import Registry

Write = Callable[..., str]

NO_BASE = "adapts a trained network, and none is named: set base to a run or checkpoint, or [model] pretrained"
KINDS = "'cfg', 'autoguidance' or 'rectified_cfg++'"
HEAD = '[dataset]\nname = "somewhere"\n[model]\nname = "net"\n'


def said(file: str, toys: Registry, *overrides: str) -> list[str]:
    with pytest.raises(SdError) as caught:
        read_run(file, overrides, toys)
    return str(caught.value).split("\n")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[training]\nepoch = 2", "6: [training] epoch: is not a key of [training]; did you mean 'epochs'?"),
        (
            "[model.extras]\ndept = 2",
            "6: [model.extras] dept: is not a key of [model.extras]; did you mean 'depth'?",
        ),
        ("[trainign]\nepochs = 2", "5: [trainign]: is not a table of the config; did you mean [training]?"),
        (
            "[training]\nlearning_rate = 1e-4",
            "6: [training] learning_rate: is not a key of [training]; it belongs in [optimizer]",
        ),
        (
            "[training]\nlearning_rat = 1e-4",
            "6: [training] learning_rat: is not a key of [training]; did you mean 'learning_rate' in [optimizer]?",
        ),
        (
            "[inference]\nmax_train_step = 5",
            "6: [inference] max_train_step: is not a key of [inference]; did you mean 'max_train_steps' in [training]?",
        ),
        (
            "[inference]\neval_batch_siz = 5",
            "6: [inference] eval_batch_siz: is not a key of [inference]; "
            "did you mean 'batch_size', or 'eval_batch_size' in [dataset]?",
        ),
        ("[codec]\ndepth = 1", "6: [codec] depth: is not a key of [codec]; it belongs in [model.extras]"),
        ("[codec]\nqqq = 1", "6: [codec] qqq: is not a key of [codec], which has name, extras"),
        (
            "[conditioning]\nqqq = 1",
            "6: [conditioning] qqq: is not a key of [conditioning], which has no keys",
        ),
        ("[model.lora]\nrank = 1", f"5: [model.lora]: {NO_BASE}"),
        ("lora = {rank = 4}", f"5: [model.lora]: {NO_BASE}"),
        ("[model.lora]\nrang = 1", "6: [model.lora] rang: is not a key of [model.lora]; did you mean 'rank'?"),
        ('[model.lora]\nbase = "runs/base"', None),
        ('pretrained = "runs/base"\n[model.lora]', None),
        (
            '[model.lora]\nbase = "runs/base"\n[optimizer]\nname = "muon"',
            """8: [optimizer] name: "muon" moves whole matrices, which [model.lora] freezes; use "adamw\"""",
        ),
        (
            '[inference]\nguidance = "autoguidance"',
            '6: [inference] guidance: "autoguidance" needs guidance_checkpoint, the earlier checkpoint to guide away '
            "from: a step or a folder",
        ),
        ('[inference]\nguidance = "autoguidance"\nguidance_checkpoint = 100', None),
        ('[inference]\nguidance = "autoguidance"\nguidance_checkpoint = "runs/small"', None),
        (
            "[inference]\nguidance_checkpoint = 100",
            '6: [inference] guidance_checkpoint: belongs to guidance = "autoguidance", not to "cfg"',
        ),
        ("lora = false", None),
        (
            "[model.extras]\nprediction_type = 'sample'",
            "6: [model.extras] prediction_type: is not a key of [model.extras]; it belongs in [objective]",
        ),
        (
            "[objective.extras]\nprediction_type = 'sample'",
            "6: [objective.extras] prediction_type: belongs in [objective]",
        ),
        ('[training]\nepochs = "12"', "6: [training] epochs: must be a whole number, not '12'"),
        ("[training]\nepochs = 1.0", "6: [training] epochs: must be a whole number, not 1.0"),
        ("[training]\nepochs = 0", "6: [training] epochs: must be at least 1, not 0"),
        ("[inference]\ncfg_scale = true", "6: [inference] cfg_scale: must be a number, not true"),
        ("[inference]\ncfg_scale = nan", "6: [inference] cfg_scale: must be a finite number, not nan"),
        ("conditioning = 'classes'\n[inference]\ncfg_scale = 2.5", None),
        (
            "[inference]\nguidance = 'cgf'",
            f"6: [inference] guidance: must be {KINDS}, not 'cgf'; did you mean 'cfg'?",
        ),
        ("[inference]\nsampler = 3", "6: [inference] sampler: must be text in quotes, not 3"),
        ("[training]\ndeterministic = 1", "6: [training] deterministic: must be true or false, not 1"),
        ("[dataset.extras]\n", None),
        ("[dataset2]\n", "5: [dataset2]: is not a table of the config; did you mean [dataset]?"),
        ("[evaluation]\nmetrics = 'judge'", "6: [evaluation] metrics: must be a list, not 'judge'"),
        (
            "[logging]\nrun_name = 2026-01-02",
            "6: [logging] run_name: is a date; write it in quotes: '2026-01-02'",
        ),
        (
            "[training]\nmixed_precision = 'fp61'",
            "6: [training] mixed_precision: must be 'no', 'fp16' or 'bf16', not 'fp61'; did you mean 'fp16'?",
        ),
        (
            "[model.extras]\npatch_size = ['al', 4]",
            "6: [model.extras] patch_size: value 1 must be a whole number or 'all', not 'al'; did you mean 'all'?",
        ),
        (
            "[model.extras]\npatch_size = [4, 4, 4]",
            "6: [model.extras] patch_size: must have at most 2 values, not 3",
        ),
        ("[optimizer]\nbetas = [0.9]", "6: [optimizer] betas: value 2 is required"),
        ("[objective.extras]\nmean = 2.0", "6: [objective.extras] mean: spread is smaller than mean"),
        (
            "[objective]\nsnr_gamma = 5.0",
            "6: [objective] snr_gamma: belongs to variance-preserving objectives; with 'flow', "
            "timestep_sampling plays that role",
        ),
        (
            "[inference]\nguidance_interval = [0.8, 0.2]",
            "6: [inference] guidance_interval: must rise from low to high, not from 0.8 to 0.2",
        ),
        (
            "[training]\neval_strategy = 'steps'",
            '6: [training] eval_strategy: "steps" needs eval_num_steps, the steps between evaluations',
        ),
        (
            "[inference]\nsampler = 'huen'",
            "6: [inference] sampler: sampler 'huen' is not known; did you mean 'heun'? Installed: euler, heun",
        ),
        (
            "[evaluation]\nmetrics = ['juge']",
            "6: [evaluation] metrics: metric 'juge' is not known; did you mean 'judge'? Installed: judge, referee",
        ),
        (
            "[evaluation.extras.juge]\nbands = []",
            "5: [evaluation.extras.juge]: 'juge' is not one of the run's metrics; did you mean 'judge'?",
        ),
        (
            "[evaluation.extras.judge]\nband = []",
            "6: [evaluation.extras.judge] band: is not a key of [evaluation.extras.judge]; did you mean 'bands'?",
        ),
        (
            "[logging.extras.tensorboard]\nlog_dir = 'x'",
            "6: [logging.extras.tensorboard] log_dir: belongs in [logging]",
        ),
        (
            "[dataset.extras]\nsource = 'x'",
            "5: [dataset.extras]: are options of a corpus, and 'somewhere' is none (installed: demo, toy-corpus)",
        ),
    ],
)
def test_one_mistake_is_one_line(write: Write, toys: Registry, text: str, line: str | None) -> None:
    file = write(HEAD + text)
    if line is None:
        read_run(file, (), toys)
    else:
        assert said(file, toys) == [f"run.toml:{line}"]


def test_core_keys_have_one_place(write: Write, toys: Registry) -> None:
    file = write(HEAD + "cfg_dropout = 0.2\nlatent_space = true\n[codec]\nname = 'none'")
    assert said(file, toys) == [
        "run.toml:5: [model] cfg_dropout: is not a key of [model]; it belongs in [model.extras]",
        'run.toml:6: [model] latent_space: is short for [codec] name = "vae", but [codec] name is "none"; '
        "keep one of the two",
    ]
    file = write(HEAD + "[model.extras]\ncfg_dropout = 2.0")
    assert said(file, toys) == ["run.toml:6: [model.extras] cfg_dropout: must be at most 1, not 2.0"]


def test_all_mistakes_are_reported_together_in_the_order_of_the_file(write: Write, toys: Registry) -> None:
    file = write(
        """
        [dataset]
        batch_size = "3"

        [model]
        name = "hourglass"

        [data]
        representation = "time"

        [training]
        epoch = 1
        """
    )
    lines = said(file, toys, "inference.steps=3")
    assert [line.partition(": ")[0] for line in lines] == [
        "run.toml:2", "run.toml:3", "run.toml:6", "run.toml:9", "run.toml:12", "--set inference.steps"
    ]  # fmt: skip
    assert lines[0] == "run.toml:2: [dataset] name: is required"
    assert "model 'hourglass' is not installed. Install it: pip install sd-hourglass" in lines[2]
    assert lines[5].startswith("--set inference.steps: is not a key of [inference]")


def test_tables_that_must_be_there(write: Write, toys: Registry) -> None:
    assert said(write(""), toys) == ["run.toml: [dataset]: is required", "run.toml: [model]: is required"]
    assert said(write("training = 5\n[dataset]\nname='x'\n[model]\nname='net'"), toys) == [
        "run.toml:1: [training]: must be a table, not 5"
    ]
    assert said(write("epochs = 5\n" + HEAD), toys) == [
        "run.toml:1: [epochs]: is not a table of the config; it belongs in [training]"
    ]


def test_a_table_written_twice_is_answered_with_both_lines(write: Write, toys: Registry) -> None:
    file = write(HEAD + "[training]\nepochs = 5\n[codec]\n[training]\nseed = 1\n[model]\n")
    assert said(file, toys) == [
        "run.toml:8: [training]: is written twice, on lines 5 and 8; merge them",
        "run.toml:10: [model]: is written twice, on lines 3 and 10; merge them",
    ]
    file = write(HEAD + "[training]\nepochs = 5\nepochs = 6\n")
    assert said(file, toys) == ["run.toml:7: [training] epochs: is written twice, on lines 6 and 7; merge them"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[training]\nepochs = \n", "run.toml:6: is not valid TOML: invalid value"),
        ("[training\n", "run.toml:5: is not valid TOML: expected ']' at the end of a table declaration"),
        ("[training]\nmixed_precision = bf16\n[training]\n", "run.toml:6: is not valid TOML: invalid value"),
        ("[training]\nseed = [1,\n", "run.toml:7: is not valid TOML: "),
    ],
)
def test_broken_syntax_has_its_line(write: Write, toys: Registry, text: str, line: str) -> None:
    (found,) = said(write(HEAD + text), toys)
    assert found.startswith(line)


def test_a_file_that_is_not_there_or_not_text(write: Write, toys: Registry) -> None:
    write(HEAD, "config/dit-db-only.toml")
    assert said("config/dit-dbonly.toml", toys) == [
        "there is no config file config/dit-dbonly.toml; did you mean config/dit-db-only.toml?"
    ]
    assert said("config/zzz.toml", toys) == ["there is no config file config/zzz.toml; config holds dit-db-only.toml"]
    assert said("config", toys) == ["config is a folder; name a config file in it; config holds dit-db-only.toml"]
    assert said("nowhere/a.toml", toys) == ["there is no config file nowhere/a.toml"]


def test_text_in_another_encoding(write: Write, toys: Registry) -> None:
    Path(write("")).write_bytes(b"name = '\xff'")
    assert said("run.toml", toys) == ["run.toml is not UTF-8 text: invalid start byte at byte 8"]
    Path("run.toml").write_bytes(b"\xef\xbb\xbf" + HEAD.replace("\n", "\r\n").encode() + b"[training]\r\nepoch = 1")
    assert said("run.toml", toys)[0].startswith("run.toml:6: [training] epoch: ")


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("seed=1", "--set seed=1: write it as section.key=value, such as training.seed=1"),
        ("training.seed", "--set training.seed: write it as section.key=value, such as training.seed=1"),
        ("training.betas=[1,", "--set training.betas: [1, is not a TOML value"),
        ("training.sed=1", "--set training.sed: is not a key of [training]; did you mean 'seed'?"),
        ("trainign.seed=1", "--set trainign.seed: [trainign]: is not a table of the config; did you mean [training]?"),
        ("training.seed=one", "--set training.seed: must be a whole number, not 'one'"),
        ("model.name=dit2", "--set model.name: model 'dit2' is not known; did you mean 'dit'? Installed: hubnet, net"),
        ("model.extras.dept=1", "--set model.extras.dept: is not a key of [model.extras]; did you mean 'depth'?"),
        (
            "model.extras={dept=1}",
            "--set model.extras: [model.extras] dept: is not a key of [model.extras]; did you mean",
        ),
    ],
)
def test_mistakes_in_set_name_the_argument(write: Write, toys: Registry, override: str, line: str) -> None:
    (found,) = said(write(HEAD), toys, override)
    assert found.startswith(line)


def test_a_corpus_types_its_options(write: Write, toys: Registry) -> None:
    file = write(HEAD.replace("somewhere", "toy-corpus") + "[dataset.extras]\nsorce = 'x'")
    assert said(file, toys) == [
        "run.toml:5: [dataset.extras] source: is required by the corpus; for a folder of that name write "
        '[dataset] name = "./toy-corpus"',
        "run.toml:6: [dataset.extras] sorce: is not a key of [dataset.extras]; did you mean 'source'?",
    ]


def test_a_stored_run_does_without_watchers_that_are_not_installed(write: Write, toys: Registry) -> None:
    watchers = "[evaluation]\nmetrics = ['judge', 'oracle']\n[logging]\ntrackers = ['spy']\n[logging.extras.spy]\na=1"
    assert len(said(write(HEAD + watchers), toys)) == 2
    run = read_resolved("run.toml", (), toys)
    assert set(run.metric_options) == {"judge"}
    assert set(run.tracker_options) == {"tensorboard"}
    assert [notice.partition(" is not")[0] for notice in run.notices] == ["metric 'oracle'", "tracker 'spy'"]
    write(HEAD.replace("net", "dit"))
    with pytest.raises(SdError, match="model 'dit' is not installed"):
        read_resolved("run.toml", (), toys)
