"""A run as diffusers reads it: a pipeline's folder, or a LoRA file."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import diffusers
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from sd_core.plugin import SdError
from sd_sd35.encoders import CLIPS, T5, encoder_parts
from sd_sd35.folders import locate
from sd_sd35.model import SD35
from sd_sd35.options import SD35Options
from sd_sd35.silent import write_silent_t5
from sd_sd35.text import encoder_source
from sd_sd35.trained import Trained
from sd_sd35.transformer import PART, position_table

CONDITION = "condition.safetensors"
"""What was learned beside the transformer, where diffusers has no place for it."""
_NO_ENCODERS = (
    "the run has no text encoders: open the folder with from_pretrained(..., text_encoder=None, tokenizer=None), the "
    "same for _2 and _3, and give the pipeline prompt_embeds and pooled_prompt_embeds"
)
_TABLE = "pos_embed.pos_embed"
_ADAPTED = "denoiser.transformer."


def export_pipeline(trained: Trained, out: Path) -> list[str]:
    """Write a folder that `StableDiffusion3Pipeline.from_pretrained` opens; adapters are merged.

    With `sd3-text` the pipeline draws what the run draws, from the same latents, prompt and grid of times. Its
    scheduler has the run's `[inference] shift`; where the run did without T5, so does the pipeline
    (`sd_sd35.silent`).

    Args:
        trained: The run.
        out: A folder that is not there yet.

    Returns:
        Sentences about what the folder cannot say.

    Raises:
        SdError: the run has no VAE, or predicts something else than a velocity.
    """
    network, codec, predicts = trained.parts()
    autoencoder = getattr(codec, "autoencoder", None)
    if autoencoder is None:
        raise SdError(f"{trained.checkpoint} was trained without a VAE (model.latent_space), which the pipeline needs")
    if predicts != "vector_field":
        raise SdError(
            f"{trained.checkpoint} predicts '{predicts}', and the pipeline takes velocities: train with "
            'objective.prediction_type = "vector_field"'
        )
    denoiser = cast(SD35, network.denoiser)
    write_transformer(denoiser, trained.options, out / PART)
    autoencoder.save_pretrained(out / "vae")
    FlowMatchEulerDiscreteScheduler(shift=trained.run.config.inference.shift).save_pretrained(out / "scheduler")
    encoders = _copy_encoders(trained, out)
    if encoders and not (out / T5[0]).is_dir():
        write_silent_t5(out, denoiser.transformer.config.joint_attention_dim)
    _write_index(out)
    return [*_write_condition(network, out), *_about_tiles(codec), *([] if encoders else [_NO_ENCODERS])]


def write_transformer(denoiser: SD35, options: SD35Options, out: Path) -> None:
    """The transformer's config and weights, with its whole table of positions again."""
    state = denoiser.transformer.state_dict()
    config = dict(denoiser.transformer.config)
    state[_TABLE] = _whole_table(options, config)
    with torch.device("meta"):
        whole = SD3Transformer2DModel.from_config(config)
    whole.load_state_dict({name: tensor.detach().cpu() for name, tensor in state.items()}, assign=True)
    whole.save_pretrained(out)


def _whole_table(options: SD35Options, config: Mapping[str, Any]) -> Tensor:
    """The base's own table, or the one that diffusers computes: a network keeps only what its grid needs."""
    if options.pretrained is not None:
        folder = locate(options.pretrained, options.revision, (PART,), "model.pretrained") / PART
        for path in sorted(folder.glob("*.safetensors")):
            with safe_open(path, framework="pt") as file:
                if _TABLE in file.keys():  # noqa: SIM118 - not a mapping
                    stored: Tensor = file.get_tensor(_TABLE)
                    return stored.float()
    size = config["pos_embed_max_size"]
    return position_table(config, size, size)


def _copy_encoders(trained: Trained, out: Path) -> bool:
    """The run's own text encoders, or those of the pipeline that it started from; False where there are none."""
    text, model = trained.text, trained.options
    if text is not None:
        source, revision, key = encoder_source(text)
    elif model.pretrained is not None:
        source, revision, key = model.pretrained, model.revision, "model.pretrained"
    else:
        return False
    parts = encoder_parts(text is not None and text.t5)
    folder = locate(source, revision, parts, key)
    for part in parts:
        shutil.copytree(folder / part, out / part)
    return True


def _write_index(out: Path) -> None:
    """`model_index.json`: which class reads which part."""
    classes = {
        "scheduler": ("diffusers", "FlowMatchEulerDiscreteScheduler"),
        PART: ("diffusers", "SD3Transformer2DModel"),
        "vae": ("diffusers", "AutoencoderKL"),
        **{encoder: ("transformers", "CLIPTextModelWithProjection") for encoder, _ in CLIPS},
        **{tokenizer: ("transformers", "CLIPTokenizer") for _, tokenizer in CLIPS},
        T5[0]: ("transformers", "T5EncoderModel"),
        T5[1]: ("transformers", "T5TokenizerFast"),
    }
    parts = {part: list(names) if (out / part).is_dir() else [None, None] for part, names in classes.items()}
    parts |= {"image_encoder": [None, None], "feature_extractor": [None, None]}
    index = {"_class_name": "StableDiffusion3Pipeline", "_diffusers_version": diffusers.__version__, **parts}
    (out / "model_index.json").write_text(json.dumps(index, indent=2), encoding="utf-8")


def _write_condition(network: nn.Module, out: Path) -> list[str]:
    """Conditioner, electrode embedding and projections, where the run has any."""
    learned = {
        name: tensor.detach().cpu().contiguous()
        for name, tensor in network.state_dict().items()
        if not name.startswith(_ADAPTED)
    }
    if not learned:
        return []
    save_file(learned, out / CONDITION, {"format": "pt"})
    return [
        f"{CONDITION} holds what the run learned beside the transformer ({', '.join(sorted(learned)[:4])}, ...): the "
        "pipeline does not read it; give it prompt_embeds and pooled_prompt_embeds made with it"
    ]


def _about_tiles(codec: Any) -> list[str]:
    groups = getattr(getattr(codec, "grid", None), "groups", 1)
    if groups == 1:
        return []
    return [f"a latent holds {groups} electrodes as tiles: the pipeline decodes them as one picture, not one by one"]


def _lora_writer() -> Any:
    """Diffusers' own; the pipeline's module warns of image processors that nobody here uses."""
    from transformers.utils.logging import set_verbosity_error

    set_verbosity_error()
    from diffusers import StableDiffusion3Pipeline

    return StableDiffusion3Pipeline.save_lora_weights


def export_lora(trained: Trained, out: Path) -> list[str]:
    """Write `pytorch_lora_weights.safetensors`, which `pipeline.load_lora_weights(out)` takes.

    alpha / rank is multiplied into the second matrix, so that a reader that knows no alpha scales rightly.

    Raises:
        SdError: the run trained parts of the transformer in full, which such a file cannot hold.
    """
    lora = trained.run.config.model.lora
    assert lora is not None, "the caller has looked"
    layers, beside = dict[str, Tensor](), dict[str, Tensor]()
    for name, tensor in trained.weights().items():
        short = name.removeprefix(_ADAPTED).replace(".default.weight", ".weight")
        if not name.startswith(_ADAPTED):
            beside[name] = tensor
        elif ".lora_B." in short:
            layers[short] = tensor * (lora.alpha / lora.rank)
        elif ".lora_A." in short:
            layers[short] = tensor
        else:
            raise SdError(f"{short} was trained in full (model.lora.train), which a LoRA file cannot hold: use --merge")
    _lora_writer()(out, transformer_lora_layers=layers)
    base = lora.base or trained.options.pretrained
    sentences = [f"load it into the pipeline of {base}: pipeline.load_lora_weights({str(out)!r})"]
    if beside:
        save_file(beside, out / CONDITION, {"format": "pt"})
        sentences.append(f"{CONDITION} holds what was trained beside the transformer, which the pipeline does not read")
    return sentences
