"""Every benchmark runs as the commands do: PyTorch's idle threads give their cores away (see `sd_core.cli.begin`)."""

import os

os.environ.setdefault("GOMP_SPINCOUNT", "1000")
