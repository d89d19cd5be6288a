# make demo   sets up .venv and runs the demo weights on images/
# make test   sets up .venv and runs the tests
# make wheel  compiles the graphs of scripts/graphs.toml, for an hour or two the first time, and builds dist/*.whl
# make zoo    compiles every network that is supported and holds it against PyTorch: hours
# make lint   ruff and mypy
# make docs   the pages of docs/ as a site
# make clean  removes the environment and what was produced

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
SOURCES := pyproject.toml constraints.txt
# Processes that share the tests, file by file; each may hold a compiler's two gigabytes.
TEST_WORKERS ?= 2
# OpenCV's desktop build needs libGL, which servers lack; the headless build has the same API.
HEADLESS = $(BIN)/python -c 'import cv2' 2>/dev/null || $(PIP) install --quiet --force-reinstall --no-deps \
  opencv-python-headless==$$($(PIP) show opencv-python | sed -n 's/^Version: //p')

.PHONY: demo test zoo lint docs graphs wheel clean setup setup-dev
.DEFAULT_GOAL := demo

demo: setup
	$(BIN)/yolo-max predict images --weights yolov8n-shapes --out runs/demo --overwrite
	@echo "For yolo-max in this shell: . $(BIN)/activate"

test: setup-dev
	$(BIN)/python -m pytest -n $(TEST_WORKERS) --dist loadfile $(PYTEST_ARGS)

zoo: setup-dev
	$(BIN)/python -m pytest -m zoo $(PYTEST_ARGS)

docs: setup-dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo "The site is in build/site."

graphs: setup-dev
	nice $(BIN)/python scripts/compile_graphs.py $(GRAPHS_ARGS)

wheel: graphs
	$(PIP) install --quiet --constraint constraints.txt build
	$(BIN)/python -m build --sdist --wheel --outdir dist

lint: setup-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

setup: $(VENV)/installed
setup-dev: $(VENV)/installed-dev

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "yolo_max needs Python 3.11 or newer; name one with: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	  { rm -rf $(VENV); echo "Python's venv module is missing; on Debian and Ubuntu: apt install python3-venv"; exit 1; }

# torch first and alone, so that pip considers its pinned version only.
$(VENV)/installed: $(SOURCES) | $(VENV)/bin/python
	@echo "Installing PyTorch into $(VENV) (1 of 2); everything takes minutes, and 2.3 GB or more."
	@$(PIP) install --quiet --constraint constraints.txt torch
	@echo "Installing MAX, Ultralytics and their dependencies (2 of 2)."
	@$(PIP) install --quiet --constraint constraints.txt --editable .
	@$(HEADLESS)
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed
	@echo "Installing what tests and pages need."
	@$(PIP) install --quiet --constraint constraints.txt --editable ".[dev,docs]"
	@$(HEADLESS)
	@touch $@

clean:
	rm -rf $(VENV) build dist runs .mypy_cache .pytest_cache .ruff_cache .hypothesis
