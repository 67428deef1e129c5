"""Runs of sd35 from config to diffusers: trained, resumed, exported, opened by the pipeline, the same pictures."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from diffusers import StableDiffusion3Pipeline
from torch import Tensor

from sd_core.config.read import read_run
from sd_core.diffusion.guidance import Strength, guide
from sd_core.errors import SdError
from sd_core.run.assemble import build_sampler
from sd_core.run.sample import LoadedRun, load_run
from sd_core.run.train import train
from sd_core.testing.windows import write_miniature
from sd_sd35.cli import main
from sd_sd35.export import CONDITION
from sd_sd35.testing import make_tiny_pretrained

pytest.importorskip("sd_data", reason="the representations are sd-data's")

CAPTIONS = ["EEG, rest", "EEG, arithmetic"]
RUN = """
[data]
representation = "timeseries"
[dataset]
name = "{data}"
batch_size = 4
[model]
name = "sd35"
conditioning = "sd3-text"
pretrained = "{tiny}"
latent_space = true
[optimizer]
learning_rate = 1e-2
[scheduler]
warmup_steps = 0
[training]
max_train_steps = 3
checkpoint_interval = 3
[logging]
tensorboard = false
[inference]
sampler = "euler"
denoising_steps = 4
shift = 3.0
cfg_scale = 2.0
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Trains the run with these settings, once for each; returns its directory."""
    room = tmp_path_factory.mktemp("runs")
    data, tiny = write_miniature(room / "data"), make_tiny_pretrained(room / "tiny")
    config = room / "run.toml"
    config.write_text(RUN.format(data=data, tiny=tiny))
    known: dict[tuple[str, ...], Path] = {}

    def run(*settings: str) -> Path:
        if settings not in known:
            known[settings] = room / f"run-{len(known)}"
            train(read_run(config, settings), known[settings])
        return known[settings]

    return run


def export(run: Path, out: Path, *flags: str) -> str:
    done = CliRunner().invoke(main, [str(run), str(out), *flags])
    assert done.exit_code == 0, done.output
    return done.output


@torch.no_grad()
def own_picture(run: Path, noise: Tensor) -> tuple[Tensor, Tensor]:
    """(latents, pictures in [0, 1]) that the run itself draws."""
    loaded = load_run(run)
    inference, codec = loaded.run.config.inference, loaded.assembly.codec
    guided = guide("cfg")(velocity(loaded, False), velocity(loaded, True), Strength(inference.cfg_scale))
    latents = build_sampler(loaded.run, loaded.registry)(guided, noise)
    decoded = codec.decode(latents) * codec.input_scale  # type: ignore[attr-defined]
    return latents, (decoded / 2 + 0.5).clamp(0, 1)


def velocity(loaded: LoadedRun, dropped: bool) -> Any:
    def predict(x: Tensor, t: Tensor) -> Tensor:
        labels = {"caption": CAPTIONS}
        predicted: Tensor = loaded.assembly.network(x, t, labels, dropped=torch.full((len(x),), dropped))
        return predicted

    return lambda x, t, _: loaded.assembly.objective.velocity(predict, x, torch.full((len(x),), t))


def pipelines_picture(pipeline: Any, noise: Tensor, output: str) -> Tensor:
    pipeline.set_progress_bar_config(disable=True)
    drawn: Tensor = pipeline(
        CAPTIONS,
        latents=noise,
        height=8 * noise.shape[2],
        width=8 * noise.shape[3],
        sigmas=[1 - step / 4 for step in range(4)],
        guidance_scale=2.0,
        output_type=output,
    ).images
    return drawn


NOISE = torch.randn(2, 16, 2, 32, generator=torch.Generator().manual_seed(5))


def assert_alike(run: Path, pipeline: Any) -> None:
    """The pipeline's latents are the run's, and so are its pictures, over the VAE's channels and without padding."""
    latents, pictures = own_picture(run, NOISE)
    torch.testing.assert_close(pipelines_picture(pipeline, NOISE, "latent"), latents, rtol=1e-3, atol=1e-3)
    raw = pipeline.vae.decode(latents / pipeline.vae.config.scaling_factor + pipeline.vae.config.shift_factor).sample
    shown = (raw.mean(1, keepdim=True)[:, :, :4] / 2 + 0.5).clamp(0, 1)
    torch.testing.assert_close(shown.detach(), pictures, rtol=1e-3, atol=1e-3)


def test_a_resumed_run_is_the_same_run(trained: Any) -> None:
    """To the bit, adapters too: the base and the text states are found again."""
    for kind in ([], ["model.lora.rank=2"]):
        whole = trained(*kind, "training.max_train_steps=4", "training.checkpoint_interval=2")
        config = read_run(whole.parent / "run.toml", [*kind, "training.max_train_steps=4"])
        again = whole.with_name(f"{whole.name}-again")
        train(config, again, resume_from=str(whole / "checkpoint-2"))
        for name in ("model.safetensors", "ema-0.05.safetensors"):
            assert (again / "checkpoint-4" / name).read_bytes() == (whole / "checkpoint-4" / name).read_bytes()


@pytest.mark.parametrize("kind", [(), ("model.lora.rank=2",)])
def test_a_run_goes_on_where_its_pipeline_was_moved_and_not_with_other_text_encoders(
    trained: Any, tmp_path: Path, kind: tuple[str, ...]
) -> None:
    begun = trained(*kind)
    moved = shutil.copytree(begun.parent / "tiny", tmp_path / "moved")
    settings = (*kind, "training.max_train_steps=4", f"model.pretrained={moved}")
    train(read_run(begun.parent / "run.toml", settings), tmp_path / "on", resume_from=str(begun / "checkpoint-3"))
    shutil.rmtree(moved / "text_encoder")
    shutil.copytree(make_tiny_pretrained(tmp_path / "other", seed=1) / "text_encoder", moved / "text_encoder")
    with pytest.raises(SdError, match=r"trained with other text encoders .*model.pretrained"):
        train(read_run(begun.parent / "run.toml", settings), tmp_path / "on", resume_from="latest")
    with pytest.raises(SdError, match="trained with other text encoders"):
        load_run(begun, (f"model.pretrained={moved}",))


@pytest.mark.parametrize("t5", ["true", "false"])
def test_a_fine_tuned_pipeline_draws_what_the_run_draws(trained: Any, tmp_path: Path, t5: str) -> None:
    run = trained(f"conditioning.t5={t5}")
    assert "prompt_embeds" not in export(run, tmp_path / "out")
    pipeline = StableDiffusion3Pipeline.from_pretrained(tmp_path / "out")
    tokens = pipeline.encode_prompt(CAPTIONS, None, None)[0]
    assert bool(tokens[:, 77:].any()) == (t5 == "true")
    assert pipeline.scheduler.config.shift == 3.0
    assert_alike(run, pipeline)
    assert not (tmp_path / "out" / CONDITION).exists()


def test_the_exported_folder_starts_another_run(trained: Any, tmp_path: Path) -> None:
    """Re-imported, the same network; training moved it away from the tiny one."""
    run = trained("conditioning.t5=false")
    export(run, tmp_path / "out")
    start = trained(f"model.pretrained={tmp_path / 'out'}", "optimizer.learning_rate=1e-12")
    torch.testing.assert_close(own_picture(start, NOISE)[0], own_picture(run, NOISE)[0], rtol=1e-3, atol=1e-3)
    untouched = trained("optimizer.learning_rate=1e-12")
    assert (own_picture(untouched, NOISE)[0] - own_picture(run, NOISE)[0]).abs().max() > 1e-2


def test_adapters_load_into_the_pipeline(trained: Any, tmp_path: Path) -> None:
    """As diffusers' own LoRA file, and merged as a whole pipeline; alpha / rank is 2."""
    run = trained("model.lora.rank=4", "model.lora.alpha=8.0", "training.ema_profiles=[]")
    export(run, tmp_path / "lora")
    base = load_run(run).run.config.model.pretrained
    pipeline = StableDiffusion3Pipeline.from_pretrained(base, text_encoder_3=None, tokenizer_3=None)
    before = pipelines_picture(pipeline, NOISE, "latent")
    pipeline.load_lora_weights(tmp_path / "lora", weight_name="pytorch_lora_weights.safetensors")
    assert (pipelines_picture(pipeline, NOISE, "latent") - before).abs().max() > 1e-2
    assert_alike(run, pipeline)
    export(run, tmp_path / "merged", "--merge")
    assert_alike(run, StableDiffusion3Pipeline.from_pretrained(tmp_path / "merged"))


def test_what_diffusers_has_no_place_for_stands_beside(trained: Any, tmp_path: Path) -> None:
    run = trained("model.conditioning=classes")
    assert CONDITION in export(run, tmp_path / "out")
    assert (tmp_path / "out" / CONDITION).is_file()
    StableDiffusion3Pipeline.from_pretrained(tmp_path / "out")


def test_what_cannot_be_exported_is_refused(trained: Any, tmp_path: Path) -> None:
    velocity_only = trained("objective.prediction_type=sample")
    done = CliRunner().invoke(main, [str(velocity_only), str(tmp_path / "out")])
    assert done.exit_code == 2
    assert 'objective.prediction_type = "vector_field"' in done.output
    assert not (tmp_path / "out").exists()
    done = CliRunner().invoke(main, [str(velocity_only), str(tmp_path)])
    assert (done.exit_code, "exists already" in done.output) == (2, True)
