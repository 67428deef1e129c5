"""Builds what a training needs from the config: accelerator, trainer, watchers."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType, DynamoBackend, InitProcessGroupKwargs

from sd_core.config import sections
from sd_core.config.read import Run
from sd_core.errors import SdError
from sd_core.registry import Registry
from sd_core.run.assemble import Assembly, build_sampler
from sd_core.run.captions import CAPTION, prepare_captions
from sd_core.run.checkups import Checkups
from sd_core.run.drawing import Drawer
from sd_core.run.ema import Averages
from sd_core.run.guard import Guard
from sd_core.run.harmless import Harmless
from sd_core.run.heldout import HeldOut
from sd_core.run.opening import OpenData, with_parts
from sd_core.run.optim import build_optimizers, build_schedule
from sd_core.run.origin import OriginCard
from sd_core.run.previews import Previews
from sd_core.run.state import Progress, TrainState
from sd_core.run.stored import Story, TaskCard, card_of
from sd_core.run.stream import Shares
from sd_core.run.trainer import Trainer
from sd_core.windows.reading import PictureSet

_log = logging.getLogger(__name__)
_PATIENCE = timedelta(hours=6)
"""How long processes wait for the main one, which alone judges, draws and encodes; NCCL's own is ten minutes."""
_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def build_accelerator(options: sections.Training) -> Accelerator:
    """Device, processes and mixed precision through accelerate.

    Raises:
        SdError: fp16 without a GPU (accelerate would compute in fp32 without a word).
    """
    if options.mixed_precision == "fp16" and not torch.cuda.is_available():
        raise SdError('training.mixed_precision = "fp16" needs a GPU; use "bf16" or "no" on a CPU')
    if options.mixed_precision == "bf16" and not torch.cuda.is_available() and not cpu_has_bf16():
        _log.warning(
            "this processor has no bfloat16 instructions and emulates them, many times slower than float32: "
            "set training.mixed_precision = 'no'"
        )
    torch.set_float32_matmul_precision(options.matmul_precision)
    if options.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what cuBLAS asks for
    torch.use_deterministic_algorithms(options.deterministic)
    # Accelerate keeps the first precision of a process; a second run in this process has its own.
    AcceleratorState._reset_state(reset_partial_state=False)
    # Apple's MPS has no float64, which the counter-based random numbers need.
    accelerator = Accelerator(
        cpu=not torch.cuda.is_available(),
        mixed_precision=options.mixed_precision,
        kwargs_handlers=[InitProcessGroupKwargs(timeout=_PATIENCE)],
    )
    _refuse_foreign_settings(accelerator)
    return accelerator


def _refuse_foreign_settings(accelerator: Accelerator) -> None:
    """A run follows from its own config: what `accelerate config` adds must not change it.

    Raises:
        SdError: naming the setting of accelerate's.
    """
    kinds = (DistributedType.NO, DistributedType.MULTI_GPU, DistributedType.MULTI_CPU)
    if accelerator.distributed_type not in kinds:
        raise SdError(
            f"accelerate is set to {accelerator.distributed_type.value}; this trainer runs alone or data-parallel: "
            "choose 'no' or multi-GPU in `accelerate config`"
        )
    if accelerator.gradient_accumulation_steps != 1:
        raise SdError(
            "accelerate is set to accumulate gradients, which would divide the loss twice: use "
            "training.gradient_accumulation_steps and take the setting out of `accelerate config`"
        )
    if accelerator.state.dynamo_plugin.backend != DynamoBackend.NO:
        raise SdError(
            "accelerate is set to compile with dynamo: use training.compile_model instead and choose 'no' in "
            "`accelerate config`"
        )


def cpu_has_bf16() -> bool:
    """Whether this processor multiplies bfloat16 in hardware."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def autocast(device: torch.device, precision: str) -> Callable[[], AbstractContextManager[object]]:
    """The autocast context of a mixed precision; without one, a context that does nothing."""
    dtype = _DTYPES.get(precision, torch.float32)
    return partial(torch.autocast, device.type, dtype=dtype, enabled=precision in _DTYPES)


def prepare_network(options: sections.Training, assembly: Assembly) -> None:
    """Gradient checkpointing and per-block compilation, as the config asks."""
    network = assembly.network
    if options.gradient_checkpointing and not network.blocks():
        _log.warning("this architecture names no blocks (block_modules): gradient checkpointing does nothing")
    if options.gradient_checkpointing:
        network.checkpoint_blocks()
    if options.compile_model:
        network.compile_blocks(options.compile_mode)


def build_trainer(
    run: Run,
    registry: Registry,
    *,
    accelerator: Accelerator,
    data: OpenData,
    assembly: Assembly,
    origin: OriginCard | None,
    total: int,
    output_dir: Path,
) -> Trainer:
    """Everything of a training that moves, at step 0."""
    config = run.config
    prepare_network(config.training, assembly)
    averages = Averages(assembly.network, config.training.ema_profiles, config.training.ema_decay)
    inner = build_optimizers(config.optimizer, assembly.network)
    model, *_ = accelerator.prepare(assembly.network, *inner)
    shares = shares_of(run, accelerator)
    return Trainer(
        accelerator=accelerator,
        options=config.training,
        cfg_dropout=config.model.cfg_dropout,
        assembly=assembly,
        model=model,
        schedule=build_schedule(config.scheduler, total),
        state=TrainState(
            assembly.network, inner, averages, accelerator.scaler, Progress(samples_per_step=shares.per_step)
        ),
        shares=shares,
        guard=Guard(accelerator, inner),
        previews=_previews(run, registry, accelerator, data, assembly),
        story=Story(run.to_toml(), registry.versions(), _card(data, assembly, origin), origin),
        output_dir=output_dir,
    )


def _card(data: OpenData, assembly: Assembly, origin: OriginCard | None) -> TaskCard:
    """What checkpoints say of the data; labels without a train window are said now, not after hours of training."""
    card = card_of(data.train, data.geometry, data.labels)
    if origin is not None:  # the base of a LoRA run may have learned them
        return replace(card, unseen={})
    for role in sorted(assembly.network.conditioner.roles & card.unseen.keys()):
        names = ", ".join(card.unseen[role][:8]) + (", ..." if len(card.unseen[role]) > 8 else "")
        _log.warning("no train window has the %s %s: it is not learned and cannot be drawn", role, names)
    return card


def shares_of(run: Run, accelerator: Accelerator) -> Shares:
    """How a step's samples are dealt."""
    return Shares(
        run.config.dataset.batch_size,
        run.config.training.gradient_accumulation_steps,
        accelerator.num_processes,
        accelerator.process_index,
    )


def _previews(run: Run, registry: Registry, accelerator: Accelerator, data: OpenData, assembly: Assembly) -> Previews:
    config = run.config
    drawer = Drawer(
        assembly,
        build_sampler(run, registry),
        config.inference,
        accelerator.device,
        autocast(accelerator.device, config.training.mixed_precision),
    )
    if config.training.eval_strategy == "no":
        return Previews(accelerator, None, drawer, config.training.eval_num_pictures)
    if config.inference.guidance_checkpoint is not None:
        _log.warning("pictures during the training are drawn without guidance: its reference is another checkpoint")
    split = data.split(config.dataset.val_split, assembly.network.conditioner.roles)
    split = with_parts(split, assembly.representation.parts)
    prepare_captions(assembly.network, split.labels.texts(CAPTION))
    held_out = HeldOut(split, config.training.eval_num_examples, config.training.seed, config.dataset.eval_batch_size)
    harmless = Harmless()
    checkups = None
    if accelerator.is_main_process and config.training.eval_num_windows:
        checkups = build_checkups(run, registry, drawer, data, harmless)
    return Previews(accelerator, held_out, drawer, config.training.eval_num_pictures, checkups, harmless)


def build_checkups(run: Run, registry: Registry, drawer: Drawer, data: OpenData, harmless: Harmless) -> Checkups | None:
    """What scores drawn windows during the training; None, said aloud, where the data are rendered pictures."""
    train, held_out = data.train.source, data.split(run.config.dataset.val_split).source
    if isinstance(train, PictureSet) or isinstance(held_out, PictureSet):
        _log.warning("eval_num_windows does nothing with rendered pictures: they cannot be judged as EEG")
        return None
    card = card_of(data.train, data.geometry, data.labels)
    checkups = Checkups(run, registry, drawer, card, held_out, train, harmless)
    checkups.begin()
    return checkups
