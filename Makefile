# Everything a newcomer needs, on a machine with Python 3.10+ and pip:
#   make demo    convert a checkpoint and detect with it
#   make test    all tests
#   make check   format, lint, types, tests
#   make reference   Paddle's own environment in .venv-paddle, and the recordings made again; with
#                    it the tests run live ppdet too
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed
PADDLE := .venv-paddle
# the same bits on every CPU: one thread, and instructions that all of them have
SAME := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 MKL_CBWR=COMPATIBLE ONEDNN_MAX_CPU_ISA=AVX2 \
    OPENBLAS_CORETYPE=Haswell

REAL := ../shared/weights/picodet_s_416_coco.pdparams
SEEDED := demo/picodet_s_416_coco.pdparams
CHECKPOINT ?= $(if $(wildcard $(REAL)),$(REAL),$(SEEDED))
# seeded numbers have learned nothing and see things everywhere
SCORE = $(if $(filter $(SEEDED),$(CHECKPOINT)),0.999,0.4)

.PHONY: install demo test check format clean paddle reference

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

paddle: $(PADDLE)/installed

$(PADDLE)/installed: constraints-paddle.txt
	$(PYTHON) -m venv $(PADDLE)
	$(PADDLE)/bin/python -m pip install --quiet --constraint constraints-paddle.txt \
	    paddlepaddle numpy opencv-python-headless pycocotools PyYAML requests tqdm six scipy \
	    matplotlib pandas scikit-learn scikit-image setuptools click rich
	$(PADDLE)/bin/python -m pip install --quiet --no-deps paddledet==2.6.0
	touch $@

reference: $(PADDLE)/installed
	$(SAME) PYTHONPATH=. $(PADDLE)/bin/python -W ignore tools/record_golden.py

format: $(INSTALLED)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf .venv $(PADDLE) demo
