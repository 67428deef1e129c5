"""What keys mean to each other, beyond the type of each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from sd_core.config.layers import Layers
from sd_core.config.sections import Model, RunConfig
from sd_core.config.slots import Slot, table_at
from sd_core.config.statements import Path

Say = Callable[[Path, str], None]
"""Notes a problem at a key."""

_DROPOUT: Path = ("model", "extras", "cfg_dropout")
_SCALE: Path = ("inference", "cfg_scale")
_GUIDANCE: Path = ("inference", "guidance")
_SEED: Path = ("training", "seed")
LATENT_CODEC = "vae"
"""What `[model] latent_space = true` is short for."""


class Notice(NamedTuple):
    """Something to say once, although it is allowed."""

    sentence: str
    about: tuple[Path, ...]
    """Keys, any of which may have been written for it."""


def asks_for_dropout(layers: Layers) -> bool:
    """Whether somebody wants cfg_dropout, rather than writes the default beside the conditioning for a later one."""
    model = table_at(layers.values, ("model",))
    extras = table_at(model, ("extras",))
    if "cfg_dropout" not in extras:
        return False
    kept = extras["cfg_dropout"] == Model.model_fields["cfg_dropout"].default and "conditioning" in model
    return layers.is_set(_DROPOUT) or not kept


def move_cfg_dropout(layers: Layers, say: Say) -> None:
    """Take core's own key out of `[model.extras]`, so that every architecture has it."""
    model = table_at(layers.values, ("model",))
    extras = table_at(model, ("extras",))
    if "cfg_dropout" in model:
        say(("model", "cfg_dropout"), "is not a key of [model]; it belongs in [model.extras]")
    if isinstance(extras, dict) and isinstance(model, dict) and "cfg_dropout" in extras:
        model["cfg_dropout"] = extras.pop("cfg_dropout")


def choose_latent_codec(layers: Layers, say: Say) -> None:
    """Let `latent_space = true` name the codec, of the model's own `pretrained` unless it says another."""
    model = table_at(layers.values, ("model",))
    if model.get("latent_space") is not True:
        return
    codec = layers.values.setdefault("codec", {})
    if not isinstance(codec, dict):
        return
    name = codec.setdefault("name", LATENT_CODEC)
    if name != LATENT_CODEC:
        say(
            ("model", "latent_space"),
            f'is short for [codec] name = "{LATENT_CODEC}", but [codec] name is "{name}"; keep one of the two',
        )
    extras = codec.setdefault("extras", {})
    if isinstance(extras, dict) and "pretrained" not in extras and "pretrained" in model:
        extras.update({key: model[key] for key in ("pretrained", "revision") if key in model})


def choose_eval_strategy(layers: Layers) -> list[Notice]:
    """Let `eval_num_steps` imply `eval_strategy = "steps"`, unless a higher layer says otherwise."""
    training = table_at(layers.values, ("training",))
    number, strategy = training.get("eval_num_steps"), training.get("eval_strategy")
    if not isinstance(training, dict) or number is None or number is False or strategy == "steps":
        return []
    later = layers.origin(("training", "eval_strategy")).rank > layers.origin(("training", "eval_num_steps")).rank
    if strategy is not None and later:
        del training["eval_num_steps"]
        return []
    training["eval_strategy"] = "steps"
    if strategy is None:
        return []
    sentence = f'eval_num_steps makes eval_strategy "steps"; "{strategy}" is not used'
    return [Notice(sentence, (("training", "eval_num_steps"), ("training", "eval_strategy")))]


def check_shared_keys(layers: Layers, slots: list[Slot], say: Say) -> None:
    """Refuse what stands beside a component's name, when that component reads no such option."""
    for slot in slots:
        beside = table_at(layers.values, slot.key[:-1])
        if slot.kind == "objectives" and "snr_gamma" in beside and "snr_gamma" not in slot.shared:
            say(
                ("objective", "snr_gamma"),
                f"belongs to variance-preserving objectives; with '{slot.name}', timestep_sampling plays that role",
            )


def check_together(config: RunConfig, say: Say) -> None:
    """What only shows once every key has its type."""
    low, high = config.inference.guidance_interval
    if low > high:
        say(("inference", "guidance_interval"), f"must rise from low to high, not from {low:g} to {high:g}")
    _check_guidance(config, say)
    _check_lora(config, say)
    if config.training.eval_strategy == "steps" and config.training.eval_num_steps is None:
        say(("training", "eval_strategy"), '"steps" needs eval_num_steps, the steps between evaluations')


def check_vain_guidance(layers: Layers, config: RunConfig, say: Say) -> None:
    """Refuse guidance that somebody asks of a stored run which has nothing to guide away from.

    In a run to train it is only noted: shared settings may hold a scale for the runs that can use one.
    """
    scale = config.inference.cfg_scale
    if layers.is_set(_SCALE) and scale != 1 and _is_unconditional(config) and not _from_checkpoint(config):
        say(
            _SCALE,
            f"{scale:g} has nothing to guide away from: this run was trained with conditioning = "
            f'"{config.model.conditioning}"; leave it out, or use inference.guidance = "autoguidance"',
        )


def check_idle_seed(layers: Layers, say: Say) -> None:
    """Refuse the seed of a training that is over: whoever sets it means that of the windows to draw."""
    if layers.is_set(_SEED):
        say(_SEED, "was used when this run was trained; windows are drawn by --seed N or inference.seed")


def _check_guidance(config: RunConfig, say: Say) -> None:
    kind, earlier = config.inference.guidance, config.inference.guidance_checkpoint
    if _from_checkpoint(config) and earlier is None:
        say(
            ("inference", "guidance"),
            f'"{kind}" needs guidance_checkpoint, the earlier checkpoint to guide away from: a step or a folder',
        )
    if not _from_checkpoint(config) and earlier is not None:
        say(("inference", "guidance_checkpoint"), f'belongs to guidance = "autoguidance", not to "{kind}"')


def _check_lora(config: RunConfig, say: Say) -> None:
    lora = config.model.lora
    if lora is None:
        return
    if lora.base is None and config.model.pretrained is None:
        say(
            ("model", "lora"),
            "adapts a trained network, and none is named: set base to a run or checkpoint, or [model] pretrained",
        )
    if config.optimizer.name == "muon":
        say(("optimizer", "name"), '"muon" moves whole matrices, which [model.lora] freezes; use "adamw"')


def notices(config: RunConfig, values: dict[str, Any], written: bool) -> list[Notice]:
    """What is allowed and does nothing, or does ill. `written`: somebody asks for cfg_dropout."""
    found: list[Notice] = []

    def note(sentence: str, *about: Path) -> None:
        found.append(Notice(sentence, about))

    unconditional, dropout, scale = _is_unconditional(config), config.model.cfg_dropout, config.inference.cfg_scale
    if written and dropout > 0 and unconditional:
        note("cfg_dropout does nothing without a conditioning ([model] conditioning)", _DROPOUT)
    if scale != 1 and unconditional and not _from_checkpoint(config):
        note(f"cfg_scale = {scale:g} does nothing without a conditioning ([model] conditioning)", _SCALE)
    if dropout == 0 and scale != 1 and not unconditional and not _from_checkpoint(config):
        note(
            f"cfg_scale = {scale:g} guides away from the null condition, which cfg_dropout = 0 leaves untrained "
            "on labelled examples",
            _DROPOUT,
            _SCALE,
            _GUIDANCE,
        )
    if scale == 1 and _from_checkpoint(config):
        note('guidance = "autoguidance" does nothing at cfg_scale = 1', _GUIDANCE, _SCALE)
    if config.model.revision and not config.model.pretrained:
        note("[model] revision does nothing without pretrained", ("model", "revision"), ("model", "pretrained"))
    if config.training.max_train_steps is not None and "epochs" in table_at(values, ("training",)):
        note("max_train_steps replaces epochs", ("training", "epochs"), ("training", "max_train_steps"))
    if config.training.eval_num_windows and config.training.eval_strategy == "no":
        key = ("training", "eval_num_windows")
        note('eval_num_windows does nothing with eval_strategy = "no"', key, ("training", "eval_strategy"))
    return found


def _from_checkpoint(config: RunConfig) -> bool:
    """Whether guidance leads away from another checkpoint rather than from the null condition."""
    return config.inference.guidance == "autoguidance"


def _is_unconditional(config: RunConfig) -> bool:
    """Whether the conditioner is the one that tells nothing, by its bare name or with its plugin in front."""
    nothing: str = Model.model_fields["conditioning"].default
    return config.model.conditioning.rpartition(":")[2] == nothing
