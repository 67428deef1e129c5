"""The transformer of Stable Diffusion 3, from diffusers: built from sizes or loaded, and fitted to one grid."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import SD3Transformer2DModel
from diffusers.models.embeddings import (
    CombinedTimestepTextProjEmbeddings,
    PatchEmbed,
    get_2d_sincos_pos_embed_from_grid,
)
from safetensors import SafetensorError
from torch import Tensor, nn

from sd_core.nn.precision import without_autocast
from sd_core.plugin import GridShape, SdError
from sd_sd35.folders import is_hollow, locate
from sd_sd35.options import SD35Options

SAMPLE_SIZE = 128
"""Side of the latents that the published table of positions is scaled for."""
PART = "transformer"
_log = logging.getLogger(__name__)


def build_transformer(options: SD35Options, shape: GridShape) -> SD3Transformer2DModel:
    """The transformer that the options describe, with positions for this grid only.

    Raises:
        SdError: the pretrained one cannot be had or takes other channels, or the grid has more patches on an
            axis than there are positions.
    """
    config = transformer_config(options, shape.channels)
    rows, columns = grid_of(config, shape)
    if options.pretrained is None or is_hollow():
        transformer = _from_scratch(config, rows, columns)
    else:
        transformer = _pretrained(options, rows, columns)
    transformer.time_text_embed.__class__ = _TimeAndText  # the same weights, another forward
    transformer.context_embedder.__class__ = _Context
    _freeze_idle(transformer.transformer_blocks[-1].attn)
    return transformer


def _freeze_idle(attention: nn.Module) -> None:
    """The last block throws the text away: what would have made its queries never gets a gradient."""
    for layer in (attention.add_q_proj, attention.norm_added_q):
        if layer is not None:
            layer.requires_grad_(False)


def transformer_config(options: SD35Options, channels: int) -> Mapping[str, Any]:
    """Arguments of `SD3Transformer2DModel`: of the pretrained one, or from the options.

    On tensors without numbers, a pretrained one that is not here counts as SD3.5 Medium.
    """
    if options.pretrained is not None:
        try:
            folder = locate(options.pretrained, options.revision, (PART,), "model.pretrained")
        except SdError as error:
            if not is_hollow():
                raise
            _log.warning("%s; sizes below are those of SD3.5 Medium", error)
            return _sizes(options, 16)
        return _stored_config(folder)
    return _sizes(options, channels)


def _stored_config(folder: Path) -> Mapping[str, Any]:
    try:
        config: dict[str, Any] = SD3Transformer2DModel.load_config(folder, subfolder=PART)
    except (OSError, ValueError) as error:
        raise SdError(_unreadable(folder, error)) from error
    if (kind := config.get("_class_name")) != SD3Transformer2DModel.__name__:
        raise SdError(f"{folder / PART} holds {kind}; model 'sd35' takes an {SD3Transformer2DModel.__name__}")
    return config


def _unreadable(folder: Path, error: Exception) -> str:
    first = (str(error).strip() or type(error).__name__).splitlines()[0]
    return f"{folder / PART} cannot be read: {first}"


def _sizes(options: SD35Options, channels: int) -> Mapping[str, Any]:
    width = options.heads * options.head_dim
    return {
        "sample_size": SAMPLE_SIZE,
        "patch_size": options.patch_size,
        "in_channels": channels,
        "out_channels": channels,
        "num_layers": options.layers,
        "attention_head_dim": options.head_dim,
        "num_attention_heads": options.heads,
        "joint_attention_dim": options.joint_dim,
        "caption_projection_dim": width,
        "pooled_projection_dim": options.pooled_dim,
        "pos_embed_max_size": options.positions,
        "dual_attention_layers": tuple(range(min(options.dual_layers, options.layers))),
        "qk_norm": "rms_norm" if options.qk_norm else None,
    }


def grid_of(config: Mapping[str, Any], shape: GridShape) -> tuple[int, int]:
    """Patches (rows, columns) of a grid.

    Raises:
        SdError: there are more on an axis than positions.
    """
    patch, positions = config["patch_size"], config["pos_embed_max_size"]
    rows, columns = -(-shape.height // patch), -(-shape.width // patch)
    if max(rows, columns) > positions:
        raise SdError(
            f"model 'sd35' has positions for {positions} x {positions} patches and would see {rows} x {columns} of "
            f"{shape}: set model.latent_space = true, or, from scratch, model.extras.positions or patch_size"
        )
    return rows, columns


def _from_scratch(config: Mapping[str, Any], rows: int, columns: int) -> SD3Transformer2DModel:
    """Fresh weights: gates and output at zero, so that every block starts as the identity (DiT, Peebles & Xie 2023)."""
    known = {key: value for key, value in config.items() if not key.startswith("_")}
    transformer = SD3Transformer2DModel(**{**known, "pos_embed_max_size": 1})  # the whole table would be 900 MB
    transformer.register_to_config(pos_embed_max_size=config["pos_embed_max_size"])
    transformer.pos_embed = Patchify(transformer.pos_embed.proj, position_table(config, rows, columns))
    for block in transformer.transformer_blocks:
        for norm in (block.norm1, block.norm1_context):
            _zero(norm.linear)
    _zero(transformer.norm_out.linear)
    _zero(transformer.proj_out)
    return transformer


def _zero(layer: nn.Linear) -> None:
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)


def _pretrained(options: SD35Options, rows: int, columns: int) -> SD3Transformer2DModel:
    """Stored weights in float32, whatever they are stored in: training needs it."""
    folder = locate(str(options.pretrained), options.revision, (PART,), "model.pretrained")
    try:
        transformer, found = SD3Transformer2DModel.from_pretrained(
            folder, subfolder=PART, torch_dtype=torch.float32, output_loading_info=True
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:  # what damaged or foreign files raise
        raise SdError(_unreadable(folder, error)) from error
    if found["missing_keys"]:  # diffusers would leave them random
        raise SdError(f"{folder / PART} lacks {len(found['missing_keys'])} weights, such as {found['missing_keys'][0]}")
    transformer.train()  # from_pretrained leaves it in evaluation, a fresh network trains
    transformer.pos_embed = Patchify(transformer.pos_embed.proj, stored_table(transformer.pos_embed, rows, columns))
    return transformer


def stored_table(embedding: PatchEmbed, rows: int, columns: int) -> Tensor:
    """The middle of a loaded table of positions, (1, rows * columns, width)."""
    table: Tensor = embedding.cropped_pos_embed(rows * embedding.patch_size, columns * embedding.patch_size)
    return table.clone()


def position_table(config: Mapping[str, Any], rows: int, columns: int) -> Tensor:
    """The middle of the table that diffusers would compute, (1, rows * columns, width), without the rest of it."""
    size, base = config["pos_embed_max_size"], config["sample_size"] // config["patch_size"]
    down, right = (
        (torch.arange(count, dtype=torch.float32) + (size - count) // 2) / (size / base) for count in (rows, columns)
    )
    grid = torch.stack(torch.meshgrid(right, down, indexing="xy"))
    width = config["num_attention_heads"] * config["attention_head_dim"]
    table: Tensor = get_2d_sincos_pos_embed_from_grid(width, grid)
    return table.float()[None]


class Patchify(nn.Module):
    """Patches and their positions: diffusers' `PatchEmbed` with the part of its table that one grid needs.

    The sum stays in the dtype of the table, so that the residual stream is float32 under autocast.
    """

    pos_embed: Tensor

    def __init__(self, proj: nn.Conv2d, table: Tensor) -> None:
        super().__init__()
        self.proj = proj
        self.register_buffer("pos_embed", table)

    def forward(self, latent: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, rows * columns, width)."""
        patches: Tensor = self.proj(latent)
        return patches.flatten(2).transpose(1, 2) + self.pos_embed


class _TimeAndText(CombinedTimestepTextProjEmbeddings):  # type: ignore[misc]
    """Outside autocast: bfloat16 cannot tell neighbouring times apart."""

    def forward(self, timestep: Tensor, pooled_projection: Tensor) -> Tensor:
        dtype = self.timestep_embedder.linear_1.weight.dtype
        with without_autocast(timestep.device):
            embedded: Tensor = super().forward(timestep, pooled_projection.to(dtype))
        return embedded


class _Context(nn.Linear):
    """Outside autocast: the first layer of the text's residual stream, which stays in float32."""

    def forward(self, tokens: Tensor) -> Tensor:
        with without_autocast(tokens.device):
            return super().forward(tokens.to(self.weight.dtype))
