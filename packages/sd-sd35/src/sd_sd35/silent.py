"""A T5 that says nothing: zeros for every text, in the place of the one that a run did without.

diffusers opens a pipeline without its third text encoder only where the caller says so; with this one the
folder opens as it is, and every text has the zeros that the pipeline would put there.
"""

from __future__ import annotations

from pathlib import Path

from torch import nn
from transformers import T5Config, T5EncoderModel, T5TokenizerFast

from sd_sd35.encoders import T5

_MARKS = (("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0))


def write_silent_t5(out: Path, width: int) -> None:
    """Write encoder and tokenizer into the folder of a pipeline.

    Args:
        out: The pipeline's folder.
        width: Of a token, the transformer's `joint_attention_dim`.
    """
    config = T5Config(
        vocab_size=len(_MARKS), d_model=width, d_kv=1, d_ff=1, num_layers=1, num_heads=1, pad_token_id=0, eos_token_id=1
    )
    encoder = T5EncoderModel(config)
    nn.init.zeros_(encoder.encoder.final_layer_norm.weight)
    encoder.save_pretrained(out / T5[0])
    T5TokenizerFast(vocab=list(_MARKS), extra_ids=0, model_max_length=512).save_pretrained(out / T5[1])
