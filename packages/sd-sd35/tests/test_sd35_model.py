"""The network beyond the contract and the pipeline: sizes, positions, conditions, refusals."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import SD3Transformer2DModel
from pydantic import ValidationError
from safetensors.torch import load_file, save_file
from torch._subclasses.fake_tensor import FakeTensorMode

from sd_core.plugin import Condition, GridShape, LabelSpace, SdError, Task
from sd_core.testing.architecture import wake
from sd_sd35 import folders
from sd_sd35.model import SD35
from sd_sd35.options import SD3TextOptions, SD35Options
from sd_sd35.text import SD3Text
from sd_sd35.transformer import position_table

LATENT = GridShape(16, 8, 8)
MEDIUM = "stabilityai/stable-diffusion-3.5-medium"
SMALL: dict[str, Any] = {"layers": 2, "heads": 2, "head_dim": 16, "dual_layers": 1, "pooled_dim": 24, "joint_dim": 40}


def build(shape: GridShape = LATENT, condition: Condition = Condition(), **changes: Any) -> SD35:  # noqa: B008  (frozen)
    torch.manual_seed(0)
    return SD35(SD35Options(**{**SMALL, **changes}), Task(shape, condition)).eval()


def parameters(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_the_default_is_sd35_medium() -> None:
    """2.24 billion weights, for a latent of 20 s that is wider than diffusers' default table."""
    with torch.device("meta"):
        network = SD35(SD35Options(), Task(GridShape(16, 4, 256), Condition(2048, 4096)))
    assert parameters(network) == 2_243_171_520
    assert (network.token_count, network.prediction_hint) == (256, "vector_field")
    config = network.transformer.config
    assert (config.num_layers, config.pos_embed_max_size) == (24, 384)
    assert config.dual_attention_layers == tuple(range(13))


def test_sizes_of_a_model_that_is_not_here_are_counted_all_the_same(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """`sd-train --dry-run` of the shipped configs, offline."""
    monkeypatch.setattr(folders, "snapshot_download", out_of_reach)
    with FakeTensorMode(), caplog.at_level(logging.WARNING):
        text = SD3Text(SD3TextOptions(pretrained=MEDIUM), LabelSpace(texts=frozenset({"caption"})))
        network = SD35(SD35Options(pretrained=MEDIUM), Task(LATENT, text.emits))
        found = text({"caption": ["a", "b"]})
    assert found.tokens is not None
    assert found.tokens.shape == (2, 333, 4096)
    assert parameters(network) == 2_243_171_520
    assert caplog.text.count("sizes below are those of") == 2


def out_of_reach(*_: Any, **__: Any) -> None:
    raise OSError("Cannot reach the hub\nand a long story")


@pytest.mark.parametrize("size", [(4, 128), (5, 3), (1, 1)])
def test_positions_are_the_middle_of_diffusers_table(size: tuple[int, int]) -> None:
    config = {"pos_embed_max_size": 130, "sample_size": 128, "patch_size": 2, "num_attention_heads": 2}
    whole = SD3Transformer2DModel(**config, attention_head_dim=16, num_layers=1, caption_projection_dim=32)
    expected = whole.pos_embed.cropped_pos_embed(2 * size[0], 2 * size[1])
    found = position_table({**config, "attention_head_dim": 16}, *size)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_the_checkpoint_holds_the_positions_of_its_grid_only() -> None:
    assert build().state_dict()["transformer.pos_embed.pos_embed"].shape == (1, 16, 32)


def test_it_starts_as_the_identity() -> None:
    assert not build()(torch.randn(2, *LATENT), torch.tensor([0.1, 0.9])).any()


@pytest.mark.parametrize("larger", [{"layers": 3}, {"heads": 4}, {"head_dim": 32}, {"dual_layers": 2}])
def test_larger_options_make_a_larger_network(larger: dict[str, Any]) -> None:
    assert parameters(build(**larger)) > parameters(build())


def test_other_options_do_what_they_say() -> None:
    assert build(patch_size=4).token_count == 4
    assert "transformer.transformer_blocks.0.attn.norm_q.weight" not in build(qk_norm=False).state_dict()
    assert build(pooled_dim=30).condition.pooled.shape == (1, 30)  # type: ignore[union-attr]
    assert build(joint_dim=50).condition.token.shape == (1, 1, 50)  # type: ignore[union-attr]
    assert "attn2.to_q" in build().lora_targets
    assert "attn2.to_q" not in build(dual_layers=0).lora_targets


def test_fat_patches_ask_for_the_sample() -> None:
    assert build(GridShape(1, 8, 8)).prediction_hint == "vector_field"
    assert build(GridShape(2, 8, 8)).prediction_hint == "sample"


def test_a_classs_vector_reaches_both_places() -> None:
    """Pooled text and a text token, each alone, and both start at nothing."""
    network = build(condition=Condition(vector=6))
    assert not network.condition.pooled_in.weight.any()  # type: ignore[union-attr]
    pooled, tokens = network.condition(2, torch.ones(2, 6), None)
    assert (tuple(pooled.shape), tuple(tokens.shape)) == ((2, 24), (2, 1, 40))
    for name in ("pooled_in", "tokens_in"):
        network = build(condition=Condition(vector=6))
        wake(network.transformer)
        torch.nn.init.normal_(getattr(network.condition, name).weight)
        x, t = torch.randn(2, *LATENT), torch.tensor([0.1, 0.9])
        assert (network(x, t, torch.ones(2, 6)) - network(x, t, -torch.ones(2, 6))).abs().max() > 1e-3, name


def test_a_condition_that_it_was_built_for_must_come() -> None:
    for network, given in ((build(), torch.ones(2, 6)), (build(condition=Condition(vector=6)), None)):
        with pytest.raises(ValueError, match="vector"):
            network(torch.randn(2, *LATENT), torch.tensor([0.1, 0.9]), given)


def test_one_channel_is_broadcast_to_fixed_weights_and_averaged_back(tiny: Path) -> None:
    network = SD35(SD35Options(pretrained=str(tiny)), Task(GridShape(1, 7, 8))).eval()
    full = SD35(SD35Options(pretrained=str(tiny)), Task(LATENT)).eval()
    x, t = torch.randn(2, 1, 7, 8), torch.tensor([0.1, 0.9])
    padded = torch.nn.functional.pad(x, (0, 0, 0, 1)).expand(-1, 16, -1, -1)
    torch.testing.assert_close(network(x, t), full(padded, t).mean(1, keepdim=True)[:, :, :7])


def test_stored_half_precision_is_trained_in_float32(tiny: Path, tmp_path: Path) -> None:
    half = shutil.copytree(tiny, tmp_path / "half")
    transformer = SD3Transformer2DModel.from_pretrained(half, subfolder="transformer", torch_dtype=torch.bfloat16)
    transformer.save_pretrained(half / "transformer")
    network = SD35(SD35Options(pretrained=str(half)), Task(LATENT))
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}
    assert network.training


@pytest.mark.parametrize("shape", [GridShape(3, 8, 8), GridShape(2, 8, 8)])
def test_other_channels_than_the_pretrained_ones_are_refused(tiny: Path, shape: GridShape) -> None:
    with pytest.raises(SdError, match=r"takes 16 channels and the data have \d: set model\.latent_space = true"):
        SD35(SD35Options(pretrained=str(tiny)), Task(shape))


def test_a_grid_beyond_the_positions_is_refused() -> None:
    with pytest.raises(SdError, match=r"positions for 384 x 384 patches and would see 10 x 1024 of 1x20x2048"):
        build(GridShape(1, 20, 2048))


def test_what_is_not_there_is_said_with_the_layout_that_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SdError, match=r"holds no transformer: a folder that works has transformer/, vae/"):
        SD35(SD35Options(pretrained=str(tmp_path)), Task(LATENT))
    monkeypatch.setattr(folders, "snapshot_download", out_of_reach)
    with pytest.raises(SdError, match=r"Cannot reach the hub\); for a gated model .* transformer/") as raised:
        SD35(SD35Options(pretrained=MEDIUM), Task(LATENT))
    assert "\n" not in str(raised.value)


def test_damaged_weights_are_said_in_one_sentence(tiny: Path, tmp_path: Path) -> None:
    for name in ("config.json", "diffusion_pytorch_model.safetensors"):
        folder = shutil.copytree(tiny, tmp_path / name)
        (folder / "transformer" / name).write_text("{")
        with pytest.raises(SdError, match="cannot be read"):
            SD35(SD35Options(pretrained=str(folder)), Task(LATENT))
    folder = shutil.copytree(tiny, tmp_path / "part")
    weights = load_file(folder / "transformer" / "diffusion_pytorch_model.safetensors")
    del weights["proj_out.bias"]
    save_file(weights, folder / "transformer" / "diffusion_pytorch_model.safetensors", {"format": "pt"})
    with pytest.raises(SdError, match=r"lacks 1 weights, such as proj_out\.bias"):
        SD35(SD35Options(pretrained=str(folder)), Task(LATENT))
    folder = shutil.copytree(tiny, tmp_path / "other")
    config = json.loads((folder / "transformer" / "config.json").read_text())
    (folder / "transformer" / "config.json").write_text(json.dumps({**config, "_class_name": "UNet2DModel"}))
    with pytest.raises(SdError, match="holds UNet2DModel"):
        SD35(SD35Options(pretrained=str(folder)), Task(LATENT))


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"pretrained": "x", "layers": 3, "joint_dim": 5}, "leave out layers, joint_dim"),
        ({"head_dim": 6}, "head_dim"),
        ({"layers": 0}, "layers"),
        ({"patch": 2}, "patch"),
    ],
)
def test_wrong_options_are_refused(wrong: dict[str, Any], match: str) -> None:
    with pytest.raises(ValidationError, match=match):
        SD35Options(**wrong)


def test_a_revision_belongs_to_an_encoder() -> None:
    with pytest.raises(ValidationError, match="encoder_revision belongs to encoder"):
        SD3TextOptions(encoder_revision="main")
