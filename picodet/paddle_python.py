"""Paddle's own Python, which runs a module of this package so that two frameworks never meet.

That Python has neither picodet nor torch: this package is put before it as it lies here, without
the folder that it lies in, whose other packages are of another environment.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import IO, Any

import picodet
from picodet.errors import PicoDetError

PACKAGE = Path(picodet.__file__).parent
BOOTSTRAP = """
import sys
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location as locate
package, module, argument = sys.argv[1:]
spec = locate("picodet", package + "/__init__.py", submodule_search_locations=[package])
sys.modules["picodet"] = module_from_spec(spec)
spec.loader.exec_module(sys.modules["picodet"])
import_module(module).main(argument)
"""
# so that the numbers do not depend on the cores of the machine that they are made on
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
INSTALL = {  # for an inference folder, and for a .pdparams
    "paddle": 'pip install paddlepaddle==3.3.1 numpy opencv-python-headless "setuptools<81"',
    "ppdet": (
        "pip install paddlepaddle==3.3.1 numpy opencv-python-headless pycocotools PyYAML requests "
        'tqdm six scipy matplotlib pandas scikit-learn "setuptools<81" && '
        "pip install --no-deps paddledet==2.6.0"
    ),
}


def interpreter(python: Path | None) -> str:
    """The Python that was named, or the one that runs this."""
    return str(python or sys.executable)


def start(
    python: Path | None, module: str, argument: str, threads: int = 1, **streams: Any
) -> subprocess.Popen[Any]:
    """Call `main` of a module with the argument there; streams as for Popen.

    Raises PicoDetError where there is no such Python.
    """
    command = [interpreter(python), "-W", "ignore", "-c", BOOTSTRAP]
    try:
        return subprocess.Popen(  # noqa: S603 (starting another Python is what this is for)
            [*command, str(PACKAGE), module, argument],
            env=os.environ | dict.fromkeys(THREADS, str(threads)),
            **streams,
        )
    except OSError as error:
        raise PicoDetError(f"{command[0]}: cannot be started: {error.strerror}") from error


def last_words(errors: IO[Any]) -> str:
    """The last line that a process wrote to the file that is its standard error."""
    errors.seek(0)
    text = errors.read()
    lines = (text.decode(errors="replace") if isinstance(text, bytes) else text).splitlines()
    return next((line for line in reversed(lines) if line.strip()), "nothing")


def missing(needing: Path, package: str, python: Path | None) -> str:
    """What to do where a package is not there; ppdet is needed for a `.pdparams` only."""
    install = INSTALL["paddle" if needing.is_dir() else "ppdet"]
    return (
        f"{needing} needs {package}, which {interpreter(python)} has not. In an environment of its "
        f"own: {install} -- and name its Python with --paddle-python"
    )
