"""A reference recorded on another machine: the right preprocessing is aligned, no wrong one is."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

CHILD = Path(__file__).parents[1] / "helpers" / "other_kernels.py"
MACHINES = {"disabled": 0, "sse42": 0, "avx2": 16}  # OPENCV_IPP, and the samples of a summary


def child(ipp, *arguments):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", CHILD, *map(str, arguments)],
        env=os.environ | {"OPENCV_IPP": ipp, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    files = {ipp: tmp_path_factory.mktemp(ipp) / "r.safetensors" for ipp in MACHINES}
    for ipp, samples in MACHINES.items():
        child(ipp, "record", files[ipp], samples)
    return files


@pytest.mark.parametrize("kernels", MACHINES)
def test_kernels_are_distinguished_from_faults(recordings, kernels):
    others = [file for ipp, file in recordings.items() if ipp != kernels]
    found = json.loads(child(kernels, "compare", *others))
    assert len(found) == 2
    for right, *faults in found.values():
        assert (right["verdict"], right["findings"]) == ("aligned", [])
        assert "another resize kernel: at most 1 gray level, in " in right["summary"]
        assert right["summary"].startswith("decode, color, normalize equal bit for bit; another")
        assert len(faults) == 13
        for fault in faults:
            names = [finding["name"] for finding in fault["findings"]]
            assert fault["verdict"] == "differs", fault["fault"]
            assert all(name.startswith(tuple(fault["places"])) for name in names), fault
