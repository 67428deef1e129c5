"""Every table of a config file, with its defaults. The docstring under a key is its reference."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from sd_core.options import Options, PredictionType

Extras = dict[str, Any]
Positive = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(ge=0, le=1)]
GuidanceKind = Literal["cfg", "autoguidance", "rectified_cfg++"]
"""Kinds of guidance; `sd_core.diffusion.guidance` has a rule for each."""


class Settings(Options):
    """`[settings]`: what a machine shares between runs."""

    config: str | None = None
    """A file of shared defaults; without it `default.toml` beside the run file or one folder up, if there."""
    data_root: str = "."
    """Folder that relative dataset names are looked up in; the variable SIGNAL_DIFFUSION_DATA overrides it."""


class Data(Options):
    """`[data]`: the view of a window that the network learns."""

    representation: str = "timeseries"
    """A representation plugin's component."""
    extras: Extras = Field(default_factory=dict)
    """Options of the representation."""


class Dataset(Options):
    """`[dataset]`: where windows and labels come from."""

    name: str
    """A folder (absolute, or under the working directory or the data root), a hub id, or a corpus that
    builds itself, such as "demo"."""
    extras: Extras = Field(default_factory=dict)
    """Options of the corpus, when `name` is one that builds itself."""
    train_split: str = "train"
    """Split to train on."""
    val_split: str = "validation"
    """Split for the held-out loss."""
    test_split: str = "test"
    """Split that `sd-evaluate` judges against."""
    batch_size: Positive = 16
    """Network examples per step and process."""
    eval_batch_size: Positive = 16
    """Examples per batch without gradients."""
    num_workers: Annotated[int, Field(ge=0)] = 0
    """Loader processes; memory-mapped windows seldom need any."""
    caption_column: str = "caption"
    """Text column for caption conditioning."""
    class_column: str = "label"
    """Column for class conditioning."""
    num_classes: Positive | None = None
    """Size of the class table; without it, the number of classes in the train split."""
    gender_column: str = "gender"
    """Column with F or M."""
    health_column: str = "health"
    """Column with the diagnosis."""
    age_column: str = "age"
    """Column with years."""
    sfreq: Annotated[float, Field(gt=0)] | None = None
    """Sampling rate in Hz, for signal tables that do not say it."""
    channel_names: tuple[str, ...] | None = None
    """Electrode names, for signal tables that do not say them."""
    max_train_samples: Positive | None = None
    """Take only the first windows of the train split."""
    balance: tuple[str, ...] = ()
    """Columns whose combinations are drawn equally often, such as ["corpus", "gender", "health"]."""
    balance_power: Fraction = 1.0
    """Sampling weight is 1 / count^power."""
    max_sampling_weight: Annotated[float, Field(ge=1)] = 10.0
    """Cap on the weight of a window relative to the mean."""


class Lora(Options):
    """`[model.lora]`: train low-rank adapters of a trained network instead of its weights (Hu 2021)."""

    base: str | None = None
    """The trained network: the folder of a run or checkpoint of this project; its average, where it kept one, is what
    gets adapted. Without it, `[model] pretrained`."""
    rank: Positive = 16
    """Rank of the adapters."""
    alpha: Annotated[float, Field(gt=0)] = 16.0
    """What an adapter adds is multiplied by alpha / rank."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Dropout of an adapter's input."""
    init: Literal["kaiming", "gaussian"] = "kaiming"
    """How the first of an adapter's two matrices begins; the second is zero, so that training starts at the base."""
    target_modules: tuple[str, ...] = ()
    """Ends of the names of the layers to adapt; empty takes what the architecture recommends."""
    train: tuple[str, ...] = ()
    """Ends of the names of further modules of the network, trained in full. The conditioner and the electrode
    embedding always are."""


class Model(Options):
    """`[model]`: the network and what it is told."""

    name: str
    """An architecture plugin's component."""
    conditioning: str = "none"
    """A conditioner: "none", "classes", "attributes", "caption" or a plugin's."""
    pretrained: str | None = None
    """Weights to start from: a run or checkpoint folder of this project. An architecture that loads its own weights
    says in its options what it takes instead."""
    revision: str | None = None
    """Revision on the hub, only for architectures that load from one."""
    latent_space: bool = False
    """Short for `[codec] name = "vae"`, with this table's `pretrained` and `revision` unless `[codec.extras]` says
    others."""
    cfg_dropout: Fraction = 0.1
    """Share of examples that are trained without their condition; written in `[model.extras]`."""
    lora: Lora | None = None
    """Adapters; without the table, everything is trained."""
    extras: Extras = Field(default_factory=dict)
    """Options of the architecture, and `cfg_dropout`."""


class Codec(Options):
    """`[codec]`: the latent space."""

    name: str = "none"
    """"none", "vae" or a plugin's."""
    extras: Extras = Field(default_factory=dict)
    """Options of the codec."""


class Objective(Options):
    """`[objective]`: what is learned."""

    name: str = "flow"
    """An objective."""
    prediction_type: PredictionType = "auto"
    """What the network predicts; "auto" takes the network's own hint."""
    timestep_sampling: Literal["logit_normal", "uniform", "mode"] = "logit_normal"
    """Density of training times."""
    loss_weighting: Literal["none", "min_snr"] = "none"
    """Weight of each time in the loss."""
    snr_gamma: float | None = None
    """Belongs to variance-preserving objectives; an error with "flow"."""
    extras: Extras = Field(default_factory=dict)
    """Further options of the objective."""


class Optimizer(Options):
    """`[optimizer]`: how weights move."""

    name: Literal["adamw", "muon", "adamw_8bit"] = "adamw"
    """"muon" moves the matrices with Muon and the rest with AdamW; "adamw_8bit" needs an extra."""
    learning_rate: Annotated[float, Field(gt=0)] = 1e-4
    """Peak learning rate of AdamW."""
    muon_learning_rate: Annotated[float, Field(gt=0)] = 2e-3
    """Peak learning rate of Muon, in its "match_rms_adamw" scale."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """Decoupled weight decay of the matrices inside the blocks and of the maps around them (roles "matrix" and
    "embedding"); gains, biases and tables that are looked up (role "vector") have none."""
    betas: tuple[float, float] = (0.9, 0.95)
    """Decay rates of AdamW's moments."""
    eps: Annotated[float, Field(gt=0)] = 1e-8
    """AdamW's epsilon."""


class Scheduler(Options):
    """`[scheduler]`: learning rate as a function of the optimizer step."""

    name: Literal["constant", "constant_with_warmup", "linear", "cosine", "warmup_stable_decay"] = (
        "constant_with_warmup"
    )
    """Shape of the schedule."""
    warmup_steps: Annotated[int, Field(ge=0)] = 100
    """Steps of linear warm-up."""
    decay_fraction: Fraction = 0.5
    """Share of the run, at its end, over which "warmup_stable_decay" falls to zero."""


class Training(Options):
    """`[training]`: the loop."""

    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Everything random follows from it."""
    epochs: Positive = 1
    """Passes over the train split."""
    max_train_steps: Positive | None = None
    """Optimizer steps; replaces `epochs`."""
    mixed_precision: Literal["no", "fp16", "bf16"] = "no"
    """Autocast; master weights, loss and EMA stay fp32."""
    matmul_precision: Literal["highest", "high", "medium"] = "highest"
    """`torch.set_float32_matmul_precision`."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass."""
    gradient_accumulation_steps: Positive = 1
    """Micro-steps per optimizer step."""
    gradient_clip_norm: Annotated[float, Field(gt=0)] | None = 1.0
    """Largest global gradient norm."""
    checkpoint_interval: Positive = 1000
    """Steps between checkpoints."""
    checkpoint_total_limit: Positive | None = 3
    """Checkpoints kept; the oldest goes first."""
    log_every_steps: Positive = 10
    """Steps between logged scalars."""
    eval_strategy: Literal["no", "steps", "epoch"] = "no"
    """When the held-out loss and sample pictures are made."""
    eval_num_steps: Positive | None = None
    """Steps between evaluations; implies `eval_strategy = "steps"`."""
    eval_num_examples: Positive = 64
    """Held-out examples of the loss."""
    eval_num_pictures: Annotated[int, Field(ge=0)] = 4
    """Samples pictured at each evaluation."""
    eval_num_windows: Annotated[int, Field(ge=0)] = 0
    """Windows drawn at each evaluation and scored against the validation split, with the metrics of `[evaluation]`;
    those that take minutes only where they are named there. 0 scores none. A metric that fails is said once."""
    ema_profiles: tuple[Annotated[float, Field(gt=0, lt=0.28)], ...] = (0.05, 0.10)
    """Relative widths of the power-function averages (EDM2, section 3.1); empty keeps none."""
    ema_decay: Annotated[float, Field(gt=0, lt=1)] | None = None
    """A plain exponential average instead of the profiles."""
    compile_model: bool = False
    """`torch.compile`, block by block."""
    compile_mode: Literal["default", "reduce-overhead", "max-autotune"] = "default"
    """Mode of `torch.compile`."""
    deterministic: bool = False
    """Only deterministic kernels, on devices that have a choice."""


class Logging(Options):
    """`[logging]`: who watches."""

    tensorboard: bool = True
    """Write TensorBoard events."""
    log_dir: str | None = None
    """Folder of the events, in a subfolder named after the run; without it RUN/tensorboard."""
    wandb_project: str | None = None
    """Weights & Biases project; needs the extra "wandb"."""
    run_name: str | None = None
    """Name of the run; without it, the output folder's name."""
    trackers: tuple[str, ...] = ()
    """Further tracker components."""
    extras: dict[str, Extras] = Field(default_factory=dict)
    """Options of trackers, by name."""


class Inference(Options):
    """`[inference]`: how samples are drawn."""

    sampler: str = "heun"
    """A sampler."""
    denoising_steps: Positive = 15
    """Integration steps."""
    shift: Annotated[float, Field(gt=0)] = 1.0
    """Time shift of the step grid; 1 leaves it uniform."""
    cfg_scale: Annotated[float, Field(ge=0)] = 1.0
    """Guidance scale; 1 is no guidance and costs one network evaluation per velocity. Other scales need a
    conditioning, or "autoguidance"."""
    guidance: GuidanceKind = "cfg"
    """Kind of guidance: "cfg" is classifier-free (Ho and Salimans 2022; two evaluations), "autoguidance" guides away
    from an earlier checkpoint and needs no conditioning (Karras 2024; two, one of them in that checkpoint's network),
    "rectified_cfg++" corrects half a step ahead (Saini 2025; three)."""
    guidance_checkpoint: Annotated[int, Field(ge=1)] | str | None = None
    """For "autoguidance", the worse version to guide away from: a step (the checkpoint of that step beside the one that
    is sampled from), or the folder of a run or checkpoint trained on the same view of the same data."""
    guidance_interval: tuple[Fraction, Fraction] = (0.0, 1.0)
    """Times [low, high] between which guidance acts (Kynkaanniemi 2024)."""
    guidance_exponent: Annotated[float, Field(ge=0)] = 0.0
    """The scale's excess over 1 is multiplied by (1 - t) to this power; 0 keeps it constant."""
    ema: float | None = None
    """Which average to sample from: a profile's width, or the decay; without it the first one."""
    batch_size: Positive = 32
    """Examples per batch."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 1
    """Noise of sample i follows from (seed, i) only."""
    extras: Extras = Field(default_factory=dict)
    """Further options of the sampler."""


class Evaluation(Options):
    """`[evaluation]`: how samples are judged."""

    metrics: tuple[str, ...] = ()
    """Metric components; empty takes all that are installed."""
    num_samples: Positive = 256
    """Generated windows."""
    report: str = "html"
    """The report component; "none" writes no page."""
    extras: dict[str, Extras] = Field(default_factory=dict)
    """Options of metrics, by name."""


class RunConfig(Options):
    """One run. Plugins type the free tables when the config is read (`sd_core.config.read`)."""

    settings: Settings = Settings()
    data: Data = Data()
    dataset: Dataset
    model: Model
    codec: Codec = Codec()
    conditioning: Extras = Field(default_factory=dict)
    objective: Objective = Objective()
    optimizer: Optimizer = Optimizer()
    scheduler: Scheduler = Scheduler()
    training: Training = Training()
    logging: Logging = Logging()
    inference: Inference = Inference()
    evaluation: Evaluation = Evaluation()
