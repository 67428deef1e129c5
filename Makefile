# Every target makes .venv itself, with python3 and pip only.
PYTHON ?= python3
# An index for torch alone, such as the CPU one of pytorch.org; empty takes torch from where pip looks.
TORCH_INDEX ?=

BIN := .venv/bin
STAMP := .venv/.installed
SOURCES := $(wildcard packages/*/src)
DEMO := runs/demo

.DEFAULT_GOAL := help
.PHONY: help install demo test check bench docs

help: ## list these targets
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' Makefile | expand -t 16

install: $(STAMP) ## make .venv with all packages, editable, and the development tools

$(STAMP): constraints.txt pyproject.toml scripts/requirements.py $(wildcard packages/*/pyproject.toml)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "needs Python 3.11 or newer: make PYTHON=python3.12 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python scripts/requirements.py > .venv/requirements.txt
ifneq ($(TORCH_INDEX),)
	$(BIN)/python -m pip install -q $$(grep '^torch==' constraints.txt) --index-url $(TORCH_INDEX)
endif
	$(BIN)/python -m pip install -q -c constraints.txt $$(grep -E '^(hatchling|editables)==' constraints.txt)
	$(BIN)/python -m pip install -q -c constraints.txt --no-build-isolation -r .venv/requirements.txt
	@touch $@

demo: install ## train, sample and judge a small model of the demo corpus: runs/demo/report.html
	$(BIN)/sd-train config/quickstart.toml --output-dir $(DEMO) $$(test ! -e $(DEMO)/run.toml || echo --resume-from-checkpoint latest)
	$(BIN)/sd-sample $(DEMO) -n 64 --to npz
	$(BIN)/sd-evaluate $(DEMO)
	@echo "report: $(DEMO)/report.html   numbers: $(DEMO)/metrics.json   curves: $(BIN)/tensorboard --logdir $(DEMO)"

test: check ## make check, then every test that needs neither GPU nor network
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m "not gpu and not slow and not network"

check: install ## style, types, layers, generated pages, pins
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(SOURCES) scripts benchmarks tests
	for tests in packages/*/tests; do $(BIN)/mypy $$tests || exit 1; done
	$(BIN)/lint-imports --no-logo
	$(BIN)/python -m sd_core.config.reference docs/reference --check
	$(BIN)/python scripts/config_summary.py --check
	$(BIN)/python scripts/constraints.py --check

bench: install ## speed and memory, beside what they are compared with
	$(BIN)/python -m benchmarks.loader
	$(BIN)/python -m benchmarks.trainer_step
	$(BIN)/python -m benchmarks.dit_step
	$(BIN)/python -m benchmarks.neighborhood
	$(BIN)/python -m benchmarks.hourglass_step
	$(BIN)/python -m benchmarks.scan
	$(BIN)/python -m benchmarks.localmamba_step
	$(BIN)/python -m benchmarks.judging

docs: install ## write the generated pages again
	$(BIN)/python -m sd_core.config.reference docs/reference
	$(BIN)/python scripts/config_summary.py
	$(BIN)/python scripts/constraints.py
