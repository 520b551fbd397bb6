"""Runs a module of this package in the Python that has Paddle, so torch and Paddle never mix.

That Python needs neither picodet nor torch: the package is loaded from where it lies, without its
parent folder, whose other packages belong to another environment.
"""

import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from picodet.errors import Note, PicoDetError

KILL_TIMEOUT = 10  # seconds until a process that does not terminate is killed
PACKAGE = Path(__file__).parents[1]
# The working directory, which python -c puts first, is removed from the path: it may hold a paddle,
# a ppdet or a yaml.py. What is sent before `main` is a message as pipe.py sends it. After `main`
# the process ends at once: Paddle takes seconds to clean up, and all its files are closed.
BOOTSTRAP = """
import os, sys
sys.path[:] = [folder for folder in sys.path if folder]
import json
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location as locate
def end(**header):
    print(json.dumps(dict(header=header, arrays=[])), flush=True)
    sys.exit(1)
if sys.version_info < (3, 10):
    end(error="%s is Python %d.%d; 3.10 or later is expected" % (sys.executable, *sys.version_info[:2]))
package, module, watching, argument = sys.argv[1:]
if watching:
    import threading
    threading.Thread(target=lambda: os.read(0, 1) or os._exit(1), daemon=True).start()
spec = locate("picodet", package + "/__init__.py", submodule_search_locations=[package])
sys.modules["picodet"] = module_from_spec(spec)
spec.loader.exec_module(sys.modules["picodet"])
try:
    main = import_module(module).main
except ModuleNotFoundError as error:
    end(missing=error.name)
main(argument)
sys.stdout.flush(); sys.stderr.flush()
os._exit(0)
"""  # noqa: E501
# set, so that results do not depend on the machine's number of cores
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
    """The path of `python`; None stands for the running Python."""
    return str(python or sys.executable)


def start_process(
    python: Path | None, module: str, argument: str, threads: int = 1, **streams: Any
) -> subprocess.Popen[Any]:
    """Start `python` and call `main(argument)` of a module of picodet there; streams as for Popen.

    The process ends with this one, however that ends, because its standard input is closed then:
    a `main` that reads requests from it stops; otherwise a thread watches it.

    Raises PicoDetError where there is no such Python.
    """
    command = [interpreter(python), "-W", "ignore", "-c", BOOTSTRAP]
    watching = "stdin" not in streams
    try:
        return subprocess.Popen(  # noqa: S603 (starting another Python is what this is for)
            [*command, str(PACKAGE), module, "watching" if watching else "", argument],
            env=os.environ | dict.fromkeys(THREADS, str(threads)),
            **({"stdin": subprocess.PIPE} if watching else {}) | streams,
        )
    except OSError as error:
        raise PicoDetError(
            f"{command[0]}: cannot be started: {error.strerror}; expected a Python with Paddle"
        ) from error


def warn_of_local_ppdet() -> None:
    """Warn if the working directory has a ppdet that is not the one that runs."""
    python_path = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if Path("ppdet", "__init__.py").is_file() and Path.cwd() not in map(Path, python_path):
        warnings.warn(
            f"the ppdet in {Path.cwd()} is not used, but the one that is installed beside Paddle; "
            "to use this one, set PYTHONPATH to its folder",
            Note,
            stacklevel=2,
        )


@contextmanager
def terminate_on_error(process: subprocess.Popen[Any]) -> Iterator[None]:
    """Terminate the process if the block ends by an error or an interrupt, so that it cleans up."""
    try:
        yield
    except BaseException:
        process.terminate()
        try:
            process.wait(KILL_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
        raise


def last_error_line(errors: IO[Any]) -> str:
    """The last line of the file that holds a process's standard error; "nothing" if empty."""
    errors.seek(0)
    text = errors.read()
    lines = (text.decode(errors="replace") if isinstance(text, bytes) else text).splitlines()
    return next((line for line in reversed(lines) if line.strip()), "nothing")


def missing_package_message(path: Path, package: str, python: Path | None) -> str:
    """A message on how to install a missing package; only a `.pdparams` needs ppdet."""
    install = INSTALL["paddle" if path.is_dir() else "ppdet"]
    return (
        f"{path}: needs {package}, which {interpreter(python)} does not have. In a separate "
        f"environment: {install} -- then pass its Python as --paddle-python"
    )
