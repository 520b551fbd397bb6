import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("onnxruntime")
ROOT = Path(__file__).parents[2]
IMPORTING = (
    *("picodet.alignment.onnx.config", "picodet.alignment.reference.onnx_runtime"),
    *("picodet.exporter.ort", "picodet.inference.onnxruntime_backend"),
)


@pytest.mark.slow
@pytest.mark.parametrize("module", IMPORTING)
def test_it_leaves_no_files_of_its_own(module, tmp_path):
    """Telemetry files: a session's in the temporary folder, a database in the cache."""
    folders = ("TMPDIR", "HOME", "XDG_CACHE_HOME")
    own = {name: str(tmp_path) for name in folders} | {"PYTHONPATH": str(ROOT)}
    environment = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"} | own
    subprocess.run([sys.executable, "-c", f"import {module}"], env=environment, check=True)
    assert not list(tmp_path.rglob("*"))


def test_nobody_imports_it_otherwise():
    for path in (ROOT / "picodet").rglob("*.py"):
        lines = path.read_text().splitlines()
        assert "import onnxruntime" not in lines or path.name == "ort.py", path
