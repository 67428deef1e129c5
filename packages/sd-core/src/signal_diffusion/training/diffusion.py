"""`python -m signal_diffusion.training.diffusion CONFIG --output-dir DIR`: an alias of `sd-train`."""

from sd_core.cli.train import main

if __name__ == "__main__":
    main()
