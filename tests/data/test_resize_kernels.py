"""IPP and OpenCV's own code: who resizes, in which thread, and how it is recognized."""

import json
import os
import subprocess
import sys
import threading

import cv2
import numpy as np
import pytest

from picodet.config import Preprocessing
from picodet.data.preprocess import preprocess
from picodet.data.resize_kernels import INTERP_NAMES, describe_kernels, kernels_differ, use_kernels
from picodet.errors import PicoDetError

PORTABLE = {  # without IPP, on every CPU
    "nearest": "628b0f2e27b38a32",
    "linear": "608b97dec0b00ed6",
    "cubic": "8cb8be5b2ace0eca",
    "area": "e435446b45a374bb",
    "Lanczos": "681aec2d7d8bbc4f",
}
ASK = (
    "import json; from picodet.data.resize_kernels import fingerprint; "
    "print(json.dumps([fingerprint(kernels) for kernels in ('native', 'portable')]))"
)
HAS_IPP = cv2.ipp.useIPP()


def child(**environment):
    """Both fingerprints in a process that has other kernels."""
    done = subprocess.run(
        [sys.executable, "-c", ASK],
        env=os.environ | environment,
        capture_output=True,
        check=True,
    )
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"OPENCV_IPP": "disabled"},
        {"OPENCV_IPP": "sse42"},
        {"OPENCV_IPP": "disabled", "OPENCV_CPU_DISABLE": "AVX2,FP16,AVX,SSE4_2,SSE4_1"},
    ],
)
def test_without_ipp_every_cpu_gives_the_same_bits(environment):
    native, portable = child(**environment)
    assert portable == PORTABLE
    assert {name for name in INTERP_NAMES if native[name] != portable[name]} <= {"cubic"}
    if environment.get("OPENCV_IPP") == "disabled":
        assert native == portable


@pytest.mark.slow
def test_kernels_that_seldom_part_have_other_fingerprints():
    """AVX2's and SSE4.2's give the same bits of most images; of all in the IPP of 2022."""
    if not HAS_IPP or "AVX" not in describe_kernels("native"):
        pytest.skip("needs IPP and a CPU with AVX2")
    if " 2022." in cv2.ipp.getIppVersion():
        pytest.skip("this IPP has one kernel for both")
    cubics = {child(OPENCV_IPP=ipp)[0]["cubic"] for ipp in ("disabled", "sse42", "avx2")}
    assert len(cubics) == 3


def test_the_switch_is_this_threads_and_is_put_back():
    before, seen = cv2.ipp.useIPP(), []
    with use_kernels("portable"):
        assert not cv2.ipp.useIPP()
        with use_kernels("native"):  # leaves what it finds
            assert not cv2.ipp.useIPP()
        thread = threading.Thread(target=lambda: seen.append(cv2.ipp.useIPP()))
        thread.start()
        thread.join()
    assert seen == [before]
    assert cv2.ipp.useIPP() == before
    with pytest.raises(KeyError), use_kernels("portable"):
        raise KeyError
    assert cv2.ipp.useIPP() == before


def test_preprocessing_switches_for_one_call():
    image = np.random.default_rng(0).integers(0, 256, (160, 200, 3), np.uint8)
    made = {k: preprocess(image, (480, 608), Preprocessing(resize=k))[0] for k in KERNELS}
    with use_kernels("portable"):
        expected, _ = preprocess(image, (480, 608), Preprocessing())
    assert np.array_equal(made["portable"], expected)
    assert np.array_equal(made["native"], expected) == (not kernels_differ(2))
    assert cv2.ipp.useIPP() == HAS_IPP


KERNELS = ("native", "portable")


def test_who_differs_and_what_they_are_called():
    assert describe_kernels("portable") == "portable (IPP off)"
    assert describe_kernels("native").startswith("native (IPP ")
    assert [kernels_differ(i) for i in range(5)] == [False, False, HAS_IPP, False, False]
    assert [kernels_differ(i, "float32") for i in range(5)] == [
        False,
        HAS_IPP,
        HAS_IPP,
        False,
        False,
    ]
    with use_kernels("portable"):
        assert describe_kernels("native") == "native (IPP off)"
        assert not kernels_differ(2)


def test_other_kernels_are_unknown():
    numbers = Preprocessing(resize="fast")
    with pytest.raises(PicoDetError, match="resize 'fast': native or portable"):
        preprocess(np.zeros((8, 8, 3), np.uint8), (32, 32), numbers)
