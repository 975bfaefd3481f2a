# Every target does the set-up it needs, once. VENV may also name an environment that you already have.
VENV ?= .venv
PYTHON ?= python3

RUN := $(VENV)/bin/python
READY := $(VENV)/.fastreid_gdnorm-ready

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-long test-all test-cuda matrix corner lint docs configs clean

help:  ## this list
	@echo "usage: make TARGET [VENV=$(VENV)] [PYTHON=$(PYTHON)]"
	@sed -n 's/^\([a-z-]*\):.*## /  \1	/p' Makefile

setup: $(READY)  ## install the plugin, fast-reid and the tools into VENV, made with PYTHON if it is not there

demo: $(READY)  ## train four small models, and test them on unseen synthetic domains
	$(VENV)/bin/fastreid demo

# two files of tests at a time: toy networks use one thread each
test: $(READY)  ## run the quick tests, five minutes on two cores
	$(RUN) -m pytest -n 2 --dist loadfile

test-long: $(READY)  ## run the others, ten minutes
	$(RUN) -m pytest -m long -n 2 --dist loadfile

test-all: $(READY)  ## run both
	$(RUN) -m pytest -m 'not cuda' -n 2 --dist loadfile

test-cuda: $(READY)  ## run the tests that need a GPU
	$(RUN) -m pytest -m cuda

matrix: $(READY)  ## run the quick tests on the oldest and the newest Python, torch and NumPy
	$(RUN) -m nox

corner: $(READY)  ## run the tests that depend most on versions, on the oldest ones
	$(RUN) -m nox --session 'corner(oldest)' -- tests/layers tests/commands/test_cli.py \
		tests/data/test_domain_balanced_sampler.py tests/inference

lint: docs  ## check style, import contracts, types and the manual's links
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(VENV)/bin/lint-imports
	$(RUN) -m mypy

# Warnings, such as those of dead links, are errors; with --quiet, mkdocs would not count them. The variable silences an
# advertisement.
docs: $(READY)  ## build the manual into site/
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict

configs: $(READY)  ## write the configs of all protocols anew, from fastreid_gdnorm/paper/variants.py
	$(RUN) -m fastreid_gdnorm.paper.config_files

clean:  ## remove what builds and tests leave behind; VENV stays
	rm -rf build dist site .pytest_cache .ruff_cache .mypy_cache .import_linter_cache .hypothesis .nox
	find fastreid_gdnorm projects tests -name __pycache__ -type d -prune -exec rm -rf {} +

# pip before 23.1, which comes with Python 3.9 and 3.10, can search forever for versions that a newer pip finds. Before
# 21.3, it cannot make an editable install with today's setuptools.
# fast-reid comes after its dependencies and without its metadata; pyproject.toml says why. The import fails if torch
# and torchvision were not made for each other, which can be so in an environment from elsewhere.
$(READY): pyproject.toml setup.py
	test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	$(RUN) -m pip --version >/dev/null 2>&1 || $(RUN) -m ensurepip
	$(RUN) -m pip install 'pip>=23.1'
	$(RUN) -m pip install -e '.[dev]'
	$(RUN) -m pip install --no-deps fastreid==1.4.0
	$(RUN) -c 'import torch, torchvision.ops'
	touch $@
