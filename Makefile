# Everything a newcomer needs, on a machine with Python 3.10+ and pip:
#   make demo    convert a checkpoint and detect with it
#   make test    all tests
#   make check   what CI runs: format, lint, types, tests
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed

REAL := ../shared/weights/picodet_s_416_coco.pdparams
SEEDED := demo/picodet_s_416_coco.pdparams
CHECKPOINT ?= $(if $(wildcard $(REAL)),$(REAL),$(SEEDED))
# seeded numbers have learned nothing and see things everywhere
SCORE = $(if $(filter $(SEEDED),$(CHECKPOINT)),0.999,0.4)

.PHONY: install demo test check format clean

install: $(INSTALLED)

$(INSTALLED): setup.cfg constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

$(SEEDED): $(INSTALLED)
	mkdir -p demo
	$(BIN)/python tools/seeded.py picodet_s_416_coco $@

demo: $(INSTALLED) $(CHECKPOINT)
	mkdir -p demo
	$(BIN)/picodet-convert $(CHECKPOINT) demo/picodet_s_416_coco.pth --overwrite
	pictures=$$($(BIN)/python -c 'import skimage; print(skimage.__path__[0] + "/data")'); \
	$(BIN)/picodet-detect demo/picodet_s_416_coco.pth "$$pictures/coffee.png" \
	    "$$pictures/chelsea.png" "$$pictures/astronaut.png" --score $(SCORE) --out demo/pictures

test: $(INSTALLED)
	$(BIN)/python -m pytest

check: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest

format: $(INSTALLED)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf .venv demo
