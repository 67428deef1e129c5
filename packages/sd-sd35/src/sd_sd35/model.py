"""The network `sd35`: the transformer of Stable Diffusion 3.5 behind the contract of this project."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from sd_core.nn.patches import warn_of_many_tokens
from sd_core.nn.roles import Role, parameter_roles
from sd_core.plugin import SdError, Task
from sd_sd35.conditions import TextInputs
from sd_sd35.options import SD35Options
from sd_sd35.transformer import build_transformer, grid_of

TIMESTEPS = 1000
"""What the transformer counts time in: t = 1, noise, is its timestep 1000."""

TARGETS = (
    "attn.to_q",
    "attn.to_k",
    "attn.to_v",
    "attn.to_out.0",
    "attn.add_q_proj",
    "attn.add_k_proj",
    "attn.add_v_proj",
    "attn.to_add_out",
)
"""Linear layers that diffusers' own LoRA training of SD3 adapts; `attn2` is the second attention of SD3.5 Medium."""


class SD35(nn.Module):
    """The MMDiT of Stable Diffusion 3 (Esser 2024, 2403.03206) with SD3.5's second attention.

    `vector` takes the place of the pooled text and `tokens` that of the text states: as they are where
    they have those widths, as `sd3-text` makes them, else projected (`sd_sd35.conditions`).

    Raises:
        SdError: the pretrained transformer cannot be had, takes other channels than the data have, or has too
            few positions for the grid.
    """

    lora_train = ("condition",)
    """Not SD3's: it starts at zero, where adapters alone would leave it."""

    def __init__(self, options: SD35Options, task: Task) -> None:
        super().__init__()
        self.shape = task.shape
        self.transformer = build_transformer(options, task.shape)
        config = self.transformer.config
        self.channels = config.in_channels
        _check_channels(options, task.shape.channels, self.channels)
        self.patch = config.patch_size
        rows, columns = grid_of(config, task.shape)
        self.token_count = rows * columns
        warn_of_many_tokens(self.token_count)
        self.condition = TextInputs(task.condition, config.pooled_projection_dim, config.joint_attention_dim)
        width = config.num_attention_heads * config.attention_head_dim
        fat = options.pretrained is None and 4 * self.patch**2 * self.channels >= width
        self.prediction_hint = "sample" if fat else "vector_field"
        second = tuple(target.replace("attn.", "attn2.") for target in TARGETS[:4])
        self.lora_targets = TARGETS + (second if config.dual_attention_layers else ())

    def forward(self, x: Tensor, t: Tensor, vector: Tensor | None = None, tokens: Tensor | None = None) -> Tensor:
        """Predict from x (B, C, H, W), t (B,) in [0, 1], vector (B, D), tokens (B, N, D) -> (B, C, H, W)."""
        if tuple(x.shape[1:]) != tuple(self.shape):
            raise ValueError(f"the network was built for {self.shape}, the input is {tuple(x.shape)}")
        pooled, context = self.condition(len(x), vector, tokens)
        predicted: Tensor = self.transformer(
            hidden_states=self._padded(x),
            encoder_hidden_states=context,
            pooled_projections=pooled,
            timestep=TIMESTEPS * t,
            return_dict=False,
        )[0]
        return self._cropped(predicted).to(x.dtype)

    def _padded(self, x: Tensor) -> Tensor:
        """One channel to all that fixed weights take; zeros at the end of an axis that the patch does not divide."""
        down, right = -self.shape.height % self.patch, -self.shape.width % self.patch
        if self.shape.channels != self.channels:
            x = x.expand(-1, self.channels, -1, -1)
        return F.pad(x, (0, right, 0, down)) if down or right else x

    def _cropped(self, predicted: Tensor) -> Tensor:
        predicted = predicted[:, :, : self.shape.height, : self.shape.width]
        return predicted if self.shape.channels == self.channels else predicted.mean(1, keepdim=True)

    def block_modules(self) -> Sequence[nn.Module]:
        """The units of gradient checkpointing, compilation and sharding."""
        return list(self.transformer.transformer_blocks)

    def param_roles(self) -> dict[str, Role]:
        """Role of every parameter, by name; see `sd_core.nn.roles`."""
        inside = (".attn.", ".attn2.", ".ff.", ".ff_context.")
        hidden = [
            layer
            for name, layer in self.named_modules()
            if isinstance(layer, nn.Linear) and any(part in name for part in inside)
        ]
        return parameter_roles(self, matrices=hidden, tables=self.condition.tables())


def _check_channels(options: SD35Options, data: int, network: int) -> None:
    if data not in (1, network):
        raise SdError(
            f"model.pretrained = {options.pretrained!r} takes {network} channels and the data have {data}: set "
            "model.latent_space = true, which encodes them with its VAE, or leave model.pretrained out to train from "
            "scratch"
        )
