"""Paddle's own Python, which runs a module of this package so that two frameworks never meet.

That Python has neither picodet nor torch: this package is put before it as it lies here, without
the folder that it lies in, whose other packages are of another environment.
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

KILL_TIMEOUT = 10  # seconds until a process that is to end is killed
PACKAGE = Path(__file__).parents[1]
# The working directory, which python -c puts first, is none of its business: it may hold a paddle,
# a ppdet or a yaml.py of somebody's. What is sent before `main` is a message as pipe.py sends it.
BOOTSTRAP = """
import sys
sys.path[:] = [place for place in sys.path if place]
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
    import os, threading
    threading.Thread(target=lambda: os.read(0, 1) or os._exit(1), daemon=True).start()
spec = locate("picodet", package + "/__init__.py", submodule_search_locations=[package])
sys.modules["picodet"] = module_from_spec(spec)
spec.loader.exec_module(sys.modules["picodet"])
try:
    main = import_module(module).main
except ModuleNotFoundError as error:
    end(missing=error.name)
main(argument)
"""  # noqa: E501
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


def start_process(
    python: Path | None, module: str, argument: str, threads: int = 1, **streams: Any
) -> subprocess.Popen[Any]:
    """Call `main` of a module with the argument there; streams as for Popen.

    It ends with this process, however that ends: a `main` that is asked through its standard input
    when that is closed, any other watches it, and nobody writes there.

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
        raise PicoDetError(f"{command[0]}: cannot be started: {error.strerror}") from error


def warn_of_local_ppdet() -> None:
    """Warn where the working directory looks as if its ppdet were the one that runs."""
    python_path = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if Path("ppdet", "__init__.py").is_file() and Path.cwd() not in map(Path, python_path):
        warnings.warn(
            f"the ppdet in {Path.cwd()} is not what runs, but the one that is installed beside "
            "Paddle; to run this one, set PYTHONPATH to it",
            Note,
            stacklevel=2,
        )


@contextmanager
def terminate_on_error(process: subprocess.Popen[Any]) -> Iterator[None]:
    """Whatever ends this block early, an interrupt too, ends the process: it may tidy up."""
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
    """The last line that a process wrote to the file that is its standard error."""
    errors.seek(0)
    text = errors.read()
    lines = (text.decode(errors="replace") if isinstance(text, bytes) else text).splitlines()
    return next((line for line in reversed(lines) if line.strip()), "nothing")


def missing_package_message(path: Path, package: str, python: Path | None) -> str:
    """What to do where a package is not there; ppdet is needed for a `.pdparams` only."""
    install = INSTALL["paddle" if path.is_dir() else "ppdet"]
    return (
        f"{path} needs {package}, which {interpreter(python)} has not. In an environment of its "
        f"own: {install} -- and name its Python with --paddle-python"
    )
