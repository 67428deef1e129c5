"""What a run is made of: layers, options of components, rules between keys."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sd_core.config.read import Run, read_resolved, read_run
from sd_core.errors import SdError
from sd_core.options import NoOptions
from sd_core.registry import Registry

Write = Callable[..., str]

HEAD = '[dataset]\nname = "somewhere"\n[model]\nname = "net"\n'
FULL = (
    HEAD
    + """
conditioning = "classes"
pretrained = 'C:\\models "new"'
[model.extras]
cfg_dropout = 0.25
depth = 7
patch_size = ["all", 16]
[conditioning]
width = 16
[objective]
timestep_sampling = "mode"
[objective.extras]
mean = 0.5
[inference]
denoising_steps = 3
cfg_scale = 2
[inference.extras]
order = 1
[training]
eval_num_steps = 10
[evaluation]
metrics = ["judge"]
[evaluation.extras.judge]
bands = [1, 2.5]
[logging]
log_dir = "events"
run_name = "é\\t\\u007f\\n\\"x\\""
trackers = ["console"]
[logging.extras.console]
every = 5
"""
)


def test_the_smallest_run_has_defaults_everywhere(write: Write, toys: Registry) -> None:
    run = read_run(write(HEAD), (), toys)
    assert set(run.options) == {
        "architectures", "representations", "conditioners", "codecs", "objectives", "samplers"
    }  # fmt: skip
    assert run.options["conditioners"] == NoOptions()
    assert run.options["architectures"].model_dump() == {"depth": 4, "patch_size": (4, 4), "limit": 2.0}
    assert set(run.metric_options) == {"judge", "referee"}
    assert set(run.tracker_options) == {"tensorboard"}
    assert run.config.model.cfg_dropout == 0.1
    assert run.notices == ()
    assert run.config.data.extras == {"pre_emphasis": 0.0}
    assert run.config.evaluation.extras == {}


def test_options_come_from_their_tables(write: Write, toys: Registry) -> None:
    run = read_run(write(FULL), (), toys)
    assert run.options["architectures"].model_dump() == {"depth": 7, "patch_size": ("all", 16), "limit": 2.0}
    assert run.options["conditioners"].model_dump() == {"width": 16}
    assert run.options["objectives"].model_dump() == {
        "prediction_type": "auto", "timestep_sampling": "mode", "loss_weighting": "none", "mean": 0.5, "spread": 1.0
    }  # fmt: skip
    assert run.options["samplers"].model_dump() == {"denoising_steps": 3, "shift": 1.0, "order": 1}
    assert {name: options.model_dump() for name, options in run.metric_options.items()} == {
        "judge": {"bands": (1, 2.5)}
    }
    assert {name: options.model_dump() for name, options in run.tracker_options.items()} == {
        "tensorboard": {"log_dir": "events", "every": 1},
        "console": {"log_dir": "events", "every": 5},
    }
    assert run.config.model.cfg_dropout == 0.25
    assert run.config.model.extras == {"depth": 7, "patch_size": ["all", 16], "limit": 2.0}
    assert run.config.objective.extras == {"mean": 0.5, "spread": 1.0}
    assert run.origin("model", "extras", "depth") == "run.toml:10"


@pytest.mark.parametrize("overrides", [(), ("training.gradient_clip_norm=false", "model.extras.limit=false")])
def test_the_resolved_run_is_complete_and_reads_back_equal(
    write: Write, toys: Registry, overrides: tuple[str, ...]
) -> None:
    run = read_run(write(FULL), overrides, toys)
    text = run.to_toml()
    write("[model]\nname = 'not looked at'", "default.toml")
    again = read_resolved(write(text, "stored.toml"), (), toys)
    assert again == run
    assert again.to_toml() == text
    assert "cfg_dropout" in text[text.index("[model.extras]") : text.index("[conditioning]")]
    assert "warmup_steps = 100" in text
    changed = read_resolved("stored.toml", ("inference.cfg_scale=4.5",), toys)
    assert changed != run
    assert changed.config.inference.cfg_scale == 4.5


def test_false_switches_off_what_has_a_default(write: Write, toys: Registry) -> None:
    run = read_run(write(HEAD), ("training.gradient_clip_norm=false", "model.extras.limit=false"), toys)
    assert run.config.training.gradient_clip_norm is None
    assert run.options["architectures"].model_dump()["limit"] is None
    assert "gradient_clip_norm = false" in run.to_toml()
    assert "max_train_steps" not in run.to_toml()


def test_an_objective_may_bring_its_own_defaults_and_keys(write: Write, toys: Registry) -> None:
    run = read_run(write(HEAD + "[objective]\nname = 'noisy'\nsnr_gamma = 5.0\nloss_weighting = 'min_snr'"), (), toys)
    assert run.options["objectives"].model_dump()["snr_gamma"] == 5.0
    assert run.config.objective.timestep_sampling == "uniform"
    assert read_resolved(write(run.to_toml()), (), toys) == run


def test_a_network_that_reads_pretrained_weights_itself_is_told(write: Write, toys: Registry) -> None:
    run = read_run(write(HEAD.replace('"net"', '"hubnet"\npretrained = "a/b"')), (), toys)
    assert run.options["architectures"].model_dump() == {"pretrained": "a/b", "title": "x"}
    assert "pretrained" not in run.config.model.extras


def test_a_corpus_is_recognised_by_its_name(write: Write, toys: Registry) -> None:
    run = read_run(write(HEAD), ("dataset.name=demo",), toys)
    assert run.options["corpora"] == NoOptions()
    text = HEAD.replace("somewhere", "toys:toy-corpus") + "[dataset.extras]\nsource = '~/eeg'"
    run = read_run(write(text), (), toys)
    assert run.options["corpora"].model_dump() == {"source": "~/eeg"}
    assert run.config.dataset.extras == {"source": "~/eeg"}


def test_shared_settings_then_run_then_variable_then_set(
    write: Write, toys: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("[settings]\ndata_root = '/shared'\n[training]\nseed = 1\nepochs = 5\n", "config/default.toml")
    file = write(HEAD + "[training]\nseed = 2\n", "config/diffusion/dit.toml")
    run = read_run(file, (), toys)
    assert (run.config.settings.data_root, run.config.training.seed, run.config.training.epochs) == ("/shared", 2, 5)
    assert run.origin("training", "epochs") == "config/default.toml:5"
    monkeypatch.setenv("SIGNAL_DIFFUSION_DATA", "/variable")
    run = read_run(file, ("training.seed=3",), toys)
    assert (run.config.settings.data_root, run.config.training.seed) == ("/variable", 3)
    run = read_run(file, ("settings.data_root=/set",), toys)
    assert run.config.settings.data_root == "/set"


def test_a_mistake_in_shared_settings_names_that_file(write: Write, toys: Registry) -> None:
    write("[training]\nsede = 1\n", "default.toml")
    with pytest.raises(SdError, match=r"^default.toml:2: \[training\] sede: .* did you mean 'seed'\?$"):
        read_run(write(HEAD, "run.toml"), (), toys)
    write(HEAD, "default.toml")
    assert read_run("default.toml", (), toys).config.model.name == "net"


def test_settings_config_is_found_from_here_from_the_file_and_above(write: Write, toys: Registry) -> None:
    write("[training]\nseed = 7\n", "machines/box.toml")
    file = write("[settings]\nconfig = 'machines/box.toml'\n" + HEAD, "a/b/run.toml")
    assert read_run(file, (), toys).config.training.seed == 7
    write("[training]\nseed = 8\n", "a/machines/other.toml")
    assert read_run(file, ("settings.config=machines/other.toml",), toys).config.training.seed == 8
    with pytest.raises(SdError, match=r"^\[settings\] config: there is no file 'nowhere.toml'"):
        read_run(file, ("settings.config=nowhere.toml",), toys)


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("logging.run_name=first run", "first run"),
        ("logging.run_name='12'", "12"),
        ("logging.run_name=2026-01-02", "2026-01-02"),
        ("logging.run_name=a=b", "a=b"),
        ('logging.run_name=""', ""),
        ("logging . run_name = x", "x"),
    ],
)
def test_set_takes_toml_values_and_bare_words(write: Write, toys: Registry, argument: str, value: str) -> None:
    assert read_run(write(HEAD), (argument,), toys).config.logging.run_name == value


def test_set_merges_tables_and_the_last_one_wins(write: Write, toys: Registry) -> None:
    sets = ("model.extras={depth = 9}", "training.seed=1", "training.seed=2")
    run = read_run(write(FULL), sets, toys)
    assert run.config.model.extras["depth"] == 9
    assert run.config.model.cfg_dropout == 0.25
    assert run.config.training.seed == 2


def strategy(run: Run) -> tuple[str, int | None]:
    return run.config.training.eval_strategy, run.config.training.eval_num_steps


def test_eval_num_steps_implies_the_strategy_unless_a_later_word_says_otherwise(write: Write, toys: Registry) -> None:
    run = read_run(write(HEAD + "[training]\neval_num_steps = 5"), (), toys)
    assert (strategy(run), run.notices) == (("steps", 5), ())
    assert strategy(read_run("run.toml", ("training.eval_strategy=no",), toys)) == ("no", None)
    run = read_run(write(HEAD + "[training]\neval_num_steps = 5\neval_strategy = 'epoch'"), (), toys)
    assert strategy(run) == ("steps", 5)
    assert run.notices == ('eval_num_steps makes eval_strategy "steps"; "epoch" is not used',)


def test_latent_space_is_short_for_the_codec(write: Write, toys: Registry) -> None:
    run = read_run(write(HEAD + "latent_space = true"), (), toys)
    assert run.config.codec.name == "vae"
    assert read_resolved(write(run.to_toml()), (), toys) == run


def test_what_does_nothing_is_said_once(write: Write, toys: Registry) -> None:
    text = HEAD + "revision = 'main'\n[model.extras]\ncfg_dropout = 0.1\n[training]\nepochs = 2\nmax_train_steps = 5"
    assert read_run(write(text), (), toys).notices == (
        "cfg_dropout does nothing without a conditioning ([model] conditioning)",
        "[model] revision does nothing without pretrained",
        "max_train_steps replaces epochs",
    )
    assert read_run("run.toml", ("model.extras.cfg_dropout=0.0",), toys).notices[0].startswith("[model] revision")
    assert "cfg_dropout" not in str(read_run("run.toml", ("model.conditioning=classes",), toys).notices)


@pytest.mark.parametrize(
    ("dropout", "overrides", "said"),
    [(0.1, (), False), (0.2, (), True), (0.1, ("model.extras.cfg_dropout=0.1",), True)],
)
def test_the_default_dropout_beside_a_conditioning_of_none_waits_for_another(
    write: Write, toys: Registry, dropout: float, overrides: tuple[str, ...], said: bool
) -> None:
    text = f"{HEAD}conditioning = 'none'\n[model.extras]\ncfg_dropout = {dropout}\n"
    assert ("cfg_dropout does nothing" in str(read_run(write(text), overrides, toys).notices)) == said


def test_the_seed_of_a_training_that_is_over_is_refused(write: Write, toys: Registry) -> None:
    stored = write(f"{HEAD}\n[training]\nseed = 3", "stored.toml")
    assert read_resolved(stored, ("inference.seed=5",), toys).config.inference.seed == 5
    with pytest.raises(SdError, match=r"--set training.seed: .* --seed N or inference.seed"):
        read_resolved(stored, ("training.seed=5",), toys)
    assert read_run(stored, ("training.seed=5",), toys).config.training.seed == 5


def test_a_stored_run_says_only_what_is_set_now(write: Write, toys: Registry) -> None:
    training = "[training]\nepochs = 2\nmax_train_steps = 5\neval_num_steps = 5\neval_strategy = 'epoch'"
    text = HEAD + "revision = 'main'\n[model.extras]\ncfg_dropout = 0.1\n" + training
    assert len(read_run(write(text), (), toys).notices) == 4
    stored = write(text, "stored.toml")
    assert read_resolved(stored, (), toys).notices == ()
    assert read_resolved(stored, ("training.max_train_steps=6",), toys).notices == ("max_train_steps replaces epochs",)


def test_guidance_asked_of_a_stored_run_that_has_no_condition_is_refused(write: Write, toys: Registry) -> None:
    stored = write(f"{HEAD}\n[inference]\ncfg_scale = 3.0", "stored.toml")
    assert read_resolved(stored, (), toys).config.inference.cfg_scale == 3  # as it was trained: only noted then
    assert read_resolved(stored, ("inference.cfg_scale=1.0",), toys).notices == ()
    with pytest.raises(SdError, match=r'cfg_scale: 2.5 has nothing to guide away from: .* conditioning = "none"'):
        read_resolved(stored, ("inference.cfg_scale=2.5",), toys)
    with_class = write(f"{HEAD}conditioning = 'classes'", "classes.toml")
    assert read_resolved(with_class, ("inference.cfg_scale=2.5",), toys).notices == ()


@pytest.mark.parametrize(("conditioning", "said"), [("none", True), ("toys:none", True), ("classes", False)])
def test_guidance_without_a_condition_is_noted(write: Write, toys: Registry, conditioning: str, said: bool) -> None:
    run = read_run(write(f"{HEAD}conditioning = '{conditioning}'\n[inference]\ncfg_scale = 2.5"), (), toys)
    note = "cfg_scale = 2.5 does nothing without a conditioning ([model] conditioning)"
    assert (note in run.notices) == said


@pytest.mark.parametrize(
    ("conditioning", "dropout", "scale"), [("classes", 0, 2), ("classes", 0.1, 2), ("classes", 0, 1), ("none", 0, 1)]
)
def test_guidance_by_an_untrained_null_is_noted(
    write: Write, toys: Registry, conditioning: str, dropout: float, scale: float
) -> None:
    text = f"{HEAD}conditioning = '{conditioning}'\n[model.extras]\ncfg_dropout = {dropout}\n[inference]\n"
    run = read_run(write(f"{text}cfg_scale = {scale}"), (), toys)
    note = (
        "cfg_scale = 2 guides away from the null condition, which cfg_dropout = 0 leaves untrained on labelled examples"
    )
    assert run.notices == ((note,) if (conditioning, dropout, scale) == ("classes", 0, 2) else ())


def test_a_run_knows_its_file(write: Write, toys: Registry) -> None:
    assert read_run(Path(write(HEAD)), (), toys).file == Path("run.toml")


def test_named_metrics_are_written_with_their_options(write: Write, toys: Registry) -> None:
    run = read_run(write(HEAD), ("evaluation.metrics=['judge', 'referee']",), toys)
    assert run.config.evaluation.extras == {"judge": {"bands": [1.0, 45.0]}, "referee": {}}
    assert read_resolved(write(run.to_toml()), (), toys) == run
