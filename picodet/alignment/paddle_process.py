"""Runs the recorder in a Python of Paddle's, so that the two frameworks never meet.

That Python has neither picodet nor torch: this package is put before it as it lies here, without
the folder that it lies in, whose other packages are of another environment.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import picodet
from picodet.alignment.order import Order
from picodet.errors import RecordingError

PACKAGE = Path(picodet.__file__).parent
BOOTSTRAP = """
import sys
from importlib.util import module_from_spec, spec_from_file_location as locate
package, order = sys.argv[1:]
spec = locate("picodet", package + "/__init__.py", submodule_search_locations=[package])
sys.modules["picodet"] = module_from_spec(spec)
spec.loader.exec_module(sys.modules["picodet"])
from picodet.alignment.paddle_main import main
main(order)
"""
# so that a recording does not depend on the cores of the machine it is made on
THREADS = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
INSTALL = {  # for an inference folder, and for a .pdparams
    "paddle": 'pip install paddlepaddle==3.3.1 numpy opencv-python-headless "setuptools<81"',
    "ppdet": (
        "pip install paddlepaddle==3.3.1 numpy opencv-python-headless pycocotools PyYAML requests "
        'tqdm six scipy matplotlib pandas scikit-learn "setuptools<81" && '
        "pip install --no-deps paddledet==2.6.0"
    ),
}


def record_in_paddle(
    order: Order, python: Path | None, progress: Callable[[int, int], None]
) -> None:
    """Carry out an order with `python`, or with the Python that runs this.

    Raises RecordingError where that has no Paddle, or where the recording fails.
    """
    interpreter = str(python or sys.executable)
    command = [interpreter, "-W", "ignore", "-c", BOOTSTRAP, str(PACKAGE), order.to_json()]
    failure: str | None = None
    with tempfile.TemporaryFile("w+", errors="replace") as errors:
        try:
            process = subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                errors="replace",
                env=os.environ | THREADS,
            )
        except OSError as error:
            raise RecordingError(f"{interpreter}: cannot be started: {error.strerror}") from error
        with process:
            for line in process.stdout or ():
                match _told(line):
                    case {"done": int() as done, "total": int() as total}:
                        progress(done, total)
                    case {"error": str() as text}:
                        failure = text
                    case {"missing": str() as name}:
                        failure = _missing(name, interpreter, order.reference)
        if failure is None and process.returncode:
            errors.seek(0)
            last = ([line for line in errors.read().splitlines() if line.strip()] or ["nothing"])[
                -1
            ]
            failure = (
                f"{order.reference}: the recorder in {interpreter} ended with exit code "
                f"{process.returncode}; its last words: {last}"
            )
    if failure is not None:
        raise RecordingError(failure)


def _told(line: str) -> object:
    """A line of the recorder's; what Paddle itself prints is passed over."""
    try:
        return json.loads(line)
    except ValueError:
        return None


def _missing(name: str, interpreter: str, reference: Path) -> str:
    install = INSTALL["paddle" if reference.is_dir() else "ppdet"]
    return (
        f"{reference} needs {name}, which {interpreter} has not. In an environment of its own: "
        f"{install} -- and name its Python with --paddle-python. A recording and an .onnx need "
        "neither Paddle nor ppdet as reference"
    )
