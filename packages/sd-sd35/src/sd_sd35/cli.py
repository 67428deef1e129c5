"""`sd-export-diffusers RUN OUT`: a run of sd35 for everybody who uses diffusers."""

from __future__ import annotations

from pathlib import Path

import click

from sd_core.cli.begin import begin
from sd_core.cli.errors import one_sentence


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("source", metavar="RUN", type=click.Path(path_type=Path))
@click.argument("out", metavar="OUT", type=click.Path(path_type=Path))
@click.option("--merge", is_flag=True, help="Of a LoRA run: the whole pipeline with the adapters merged into it.")
@one_sentence
def main(*, source: Path, out: Path, merge: bool) -> None:
    """Write RUN, a run directory or a checkpoint of sd35, as diffusers reads it into the new folder OUT.

    A full fine-tune or a run from scratch becomes a pipeline, a LoRA run a LoRA file.

    \b
    sd-export-diffusers runs/sd35-db-only-caption exported
    StableDiffusion3Pipeline.from_pretrained("exported")
    sd-export-diffusers runs/sd35-lora adapters
    pipeline.load_lora_weights("adapters")
    """  # noqa: D301 - click wants the backspace itself
    from sd_core.plugin import SdError

    begin()
    if out.exists():
        raise SdError(f"'{out}' exists already: remove it or name another folder")

    from sd_sd35.export import export_lora, export_pipeline
    from sd_sd35.trained import open_trained

    trained = open_trained(source)
    adapters = trained.run.config.model.lora is not None and not merge
    scratch = out.with_name(f".{out.name}.unfinished")
    scratch.mkdir(parents=True, exist_ok=True)
    sentences = (export_lora if adapters else export_pipeline)(trained, scratch)
    scratch.rename(out)
    for sentence in sentences:
        click.echo(sentence.replace(str(scratch), str(out)), err=True)
    click.echo(str(out))


if __name__ == "__main__":
    main()
