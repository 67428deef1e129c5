"""A complete tiny Stable Diffusion 3 pipeline with random weights, written offline in seconds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel, StableDiffusion3Pipeline
from torch import nn
from transformers import (
    CLIPTextConfig,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    T5Config,
    T5EncoderModel,
    T5TokenizerFast,
)

CLIP_L, CLIP_G, JOINT = 16, 24, 48
"""Widths of the encoders: CLIP-L's and CLIP-G's side by side are narrower than T5's, as in the published model."""
LENGTH = 77
"""Tokens of a CLIP text."""


def make_tiny_pretrained(
    path: Path | str, *, seed: int = 0, t5: bool = True, latent_channels: int = 16, vae_channels: int = 3
) -> Path:
    """Write a folder that `StableDiffusion3Pipeline.from_pretrained` opens, of about 4 MB.

    The same parts as the published pipeline, each a few thousand weights: the transformer (dual
    attention in its first layer, QK norms, positions for 128 x 128 patches), a VAE with a scaling and a
    shift factor that are not trivial, both CLIPs, T5, their tokenizers and the scheduler (shift 3).

    Args:
        path: The folder; made where it is not there.
        seed: Of the random weights.
        t5: Without it the pipeline has no third text encoder, as people keep it to save memory;
            `from_pretrained` then wants `text_encoder_3=None, tokenizer_3=None`.
        latent_channels: Of the VAE and of the transformer.
        vae_channels: Of the pictures that the VAE takes.

    Returns:
        The folder.
    """
    path = Path(path)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        pipeline = StableDiffusion3Pipeline(
            transformer=_alive(tiny_transformer(latent_channels)),
            scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
            vae=_alive(_tiny_vae(latent_channels, vae_channels)),
            text_encoder=_alive(_tiny_clip(CLIP_L, "quick_gelu")),
            tokenizer=_clip_tokenizer(path / "tokenizer", pad="<|endoftext|>"),
            text_encoder_2=_alive(_tiny_clip(CLIP_G, "gelu")),
            tokenizer_2=_clip_tokenizer(path / "tokenizer_2", pad="!"),
            text_encoder_3=_alive(_tiny_t5()) if t5 else None,
            tokenizer_3=_t5_tokenizer() if t5 else None,
        )
    pipeline.save_pretrained(path)
    return path


def tiny_transformer(channels: int = 16) -> SD3Transformer2DModel:
    """A transformer of two layers and 32 channels, for conditions as wide as the tiny encoders'."""
    return SD3Transformer2DModel(
        sample_size=8,
        in_channels=channels,
        out_channels=channels,
        num_layers=2,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=JOINT,
        caption_projection_dim=32,
        pooled_projection_dim=CLIP_L + CLIP_G,
        pos_embed_max_size=128,
        dual_attention_layers=(0,),
        qk_norm="rms_norm",
    )


def _alive(module: nn.Module) -> Any:
    """Weights large enough for every part to matter: a fresh transformer answers nearly the same to all texts."""
    with torch.no_grad():
        for name, weight in module.named_parameters():
            if weight.ndim > 1 and "pos" not in name:
                weight.normal_(std=weight[0].numel() ** -0.5)
            elif name.endswith("bias"):
                weight.normal_(std=0.05)
    return module.eval()


def _tiny_vae(latent_channels: int, channels: int) -> AutoencoderKL:
    return AutoencoderKL(
        in_channels=channels,
        out_channels=channels,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(4, 8, 8, 8),
        layers_per_block=1,
        norm_num_groups=4,
        latent_channels=latent_channels,
        sample_size=64,
        scaling_factor=1.5305,
        shift_factor=0.0609,
        use_quant_conv=False,
        use_post_quant_conv=False,
    )


def _tiny_clip(width: int, activation: str) -> CLIPTextModelWithProjection:
    vocabulary = _clip_vocabulary()
    return CLIPTextModelWithProjection(
        CLIPTextConfig(
            vocab_size=len(vocabulary),
            hidden_size=width,
            intermediate_size=2 * width,
            projection_dim=width,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=LENGTH,
            hidden_act=activation,
            bos_token_id=vocabulary["<|startoftext|>"],
            eos_token_id=vocabulary["<|endoftext|>"],
            pad_token_id=vocabulary["<|endoftext|>"],
        )
    )


def _clip_tokenizer(folder: Path, pad: str) -> CLIPTokenizer:
    """A tokenizer with one token per byte; like the published one, the second pads with "!"."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps(_clip_vocabulary()))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "CLIPTokenizer", "model_max_length": LENGTH, "pad_token": pad})
    )
    return CLIPTokenizer.from_pretrained(folder)


def _clip_vocabulary() -> dict[str, int]:
    """Every byte as BPE writes it, inside a word and at its end, and the two marks."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in printable]
    letters = [chr(byte) for byte in printable] + [chr(256 + place) for place, _ in enumerate(hidden)]
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    return {word: index for index, word in enumerate(words)}


def _tiny_t5() -> T5EncoderModel:
    return T5EncoderModel(
        T5Config(
            vocab_size=len(_t5_vocabulary()),
            d_model=JOINT,
            d_kv=8,
            d_ff=64,
            num_layers=1,
            num_heads=2,
            feed_forward_proj="gated-gelu",
            pad_token_id=0,
            eos_token_id=1,
            decoder_start_token_id=0,
        )
    )


def _t5_tokenizer() -> T5TokenizerFast:
    return T5TokenizerFast(vocab=_t5_vocabulary(), extra_ids=0, model_max_length=512)


def _t5_vocabulary() -> list[tuple[str, float]]:
    """A unigram model of single characters, all alike."""
    marks = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    return [*marks, ("▁", -2.0), *((chr(code), -3.0) for code in range(ord("!"), ord("~") + 1))]
