"""What all commands have in common: errors, exit codes, official names, options."""

import gc
import io
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from errno import EPIPE
from pathlib import Path
from traceback import walk_tb
from typing import Any

import click

from picodet.api import local_file, official_url
from picodet.commands.params import FiniteFloat, InputPath, OutputFile, Size
from picodet.commands.progress import progress_bar
from picodet.commands.run_files import RunFiles
from picodet.errors import Note, PicoDetError
from picodet.files import check_writable, write_json
from picodet.system.termination import exit_code, termination_as_interrupt

PRINTING_PACKAGES = ("click", "rich")
FILES = "picodet.files"  # of a run, in click's context
OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "Insufficient memory", "bad allocation")

# Python searches all objects for garbage again and again while torch is imported, and finds
# nothing: a fifth of the time of picodet-convert (benchmarks/speed/convert.py).
GC_THRESHOLD = 200_000  # new objects before it searches


class Interrupted(click.ClickException):
    """The command was interrupted or terminated."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.exit_code = code  # type: ignore[misc]  # click reads it from the instance


class Command(click.Command):
    """A command whose errors are a message and, with `--json`, JSON; no traceback.

    No output may replace an input, which is checked before any work is done. Ctrl-C and `kill` end
    it in the same way. Sets the thresholds of the garbage collector until it returns.
    """

    failure = click.ClickException  # the class of PicoDetErrors; exit code 1
    interrupted = "interrupted"  # the default message

    def invoke(self, ctx: click.Context) -> Any:
        previous = gc.get_threshold()
        gc.set_threshold(GC_THRESHOLD)
        try:
            with termination_as_interrupt(), _warnings_as_notes():
                return self._invoke_with_json(ctx)
        except PicoDetError as error:
            if isinstance(error.__cause__, KeyboardInterrupt):
                raise Interrupted(str(error), exit_code(error.__cause__)) from error
            raise self.failure(str(error)) from error
        except KeyboardInterrupt as error:
            raise Interrupted(self.interrupted, exit_code(error)) from error
        except click.Abort as error:  # in the middle of a question
            if not isinstance(error.__context__, KeyboardInterrupt):
                raise
            raise Interrupted(self.interrupted, exit_code(error.__context__)) from error
        finally:
            gc.set_threshold(*previous)

    def _invoke_with_json(self, ctx: click.Context) -> Any:
        _open_streams()
        files = ctx.meta[FILES] = RunFiles()
        inputs = list(self._parameters_of(ctx.params, InputPath))
        outputs = list(self._parameters_of(ctx.params, OutputFile))
        for kind, path in (*inputs, *outputs):
            kind.declare(files, Path(path))
        json_file: Path | None = ctx.params.get("json_file")
        if json_file is not None:
            files.check(json_file)
            check_writable(json_file, overwrite=True)
        try:
            with readable_errors():
                _check_names([Path(path) for _, path in inputs])
                files.check_all()
                files.check_inputs(Path(path) for _, path in inputs)
                for kind, path in outputs:
                    if path != json_file:
                        kind.check(path, overwrite=ctx.params.get("overwrite", True))
                return super().invoke(ctx)
        except PicoDetError as error:
            if json_file is not None and files.is_distinct(json_file):
                write_json(json_file, error.as_json())
            raise

    def _parameters_of(
        self, given: Mapping[str, Any], kind: type[Any]
    ) -> Iterator[tuple[Any, Any]]:
        """The types and values of the given parameters whose type is a `kind`."""
        for param in self.params:
            if isinstance(param.type, kind):
                value = given.get(param.name or "")
                for each in value if isinstance(value, tuple) else (value,):
                    if each is not None:
                        yield param.type, each


@contextmanager
def readable_errors() -> Iterator[None]:
    """Turn errors of the system into a PicoDetError that names the reason and the file."""
    try:
        yield
    except (PicoDetError, click.ClickException):
        raise
    except OSError as error:
        if error.errno == EPIPE:
            raise  # click handles a closed pipe
        raise PicoDetError(_os_error_message(error)) from error
    except MemoryError as error:
        raise PicoDetError(
            f"there is not enough memory: {str(error) or 'Python could not allocate more'}"
        ) from error
    except Exception as error:  # torch and OpenCV have their own classes for it
        if not any(text in str(error) for text in OUT_OF_MEMORY):
            raise
        reason = str(error).splitlines()[0]
        raise PicoDetError(f"there is not enough memory ({reason})") from error


def _os_error_message(error: OSError) -> str:
    reason = error.strerror or str(error) or type(error).__name__
    if error.filename is not None:
        name = error.filename
        return f"{os.fsdecode(name) if isinstance(name, str | bytes | Path) else name}: {reason}"
    modules = [frame.f_globals.get("__name__", "") for frame, _ in walk_tb(error.__traceback__)]
    if modules and modules[-1].split(".")[0] in PRINTING_PACKAGES:
        return f"cannot print: {reason}"
    ours = [name for name in modules if name.split(".")[0] == "picodet"]
    return f"{reason} (in {ours[-1]})" if ours else reason


def _check_names(paths: list[Path]) -> None:
    """Raise OSError for a path that the system refuses: a loop of links, a name too long."""
    for path in paths:
        with suppress(FileNotFoundError, NotADirectoryError):  # the command reports it
            path.stat()


def _open_streams() -> None:
    """Replace closed standard streams by os.devnull: the next opened files would get their numbers.

    Characters that a terminal cannot encode are printed escaped.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def is_interactive() -> bool:
    """Whether a user can be asked: standard input and error are terminals."""
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr))


def add_inputs(*paths: Path) -> None:
    """Declare further inputs of a command. Raises OutputError where one would be overwritten."""
    files = _run_files()
    for path in paths:
        files.reads(path)
    files.check_all()


def add_outputs(*paths: Path) -> None:
    """Declare further outputs of a command. Raises OutputError where one would replace an input."""
    files = _run_files()
    for path in paths:
        files.writes(path)
    files.check_all()


def _run_files() -> RunFiles:
    context = click.get_current_context(silent=True)
    files = context.meta.get(FILES) if context else None
    return files or RunFiles()


@contextmanager
def _warnings_as_notes() -> Iterator[None]:
    """Print picodet's warnings as notes, without the line of code that raised them."""
    previous = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        if issubclass(category, Note):
            click.echo(f"note: {message}", err=True)
        else:
            previous(message, category, *place, **more)

    warnings.showwarning = show
    try:
        yield
    finally:
        warnings.showwarning = previous


def fetch_official(path: Path) -> Path:
    """The file behind an official name, a URL or a name of the hub, fetched once; else the path.

    A tar archive is unpacked. Raises FetchError where the download fails, PicoDetError for a name
    without published weights, CheckpointError for an archive that is refused.
    """
    from picodet.download.hub import hub_name

    if hub_name(path) is None and official_url(path) is None:
        found = local_file(path)
    else:
        with progress_bar(f"fetching {path.name}") as progress:
            found = local_file(path, progress)
    if found != path:
        add_inputs(found)
    return found


def score_option(default: float | str) -> Callable[..., Any]:
    """`--score-thr`, whose default depends on the command; with a text for it the value is None."""
    return click.option(
        "--score-thr",
        type=FiniteFloat(0, 1),
        default=None if isinstance(default, str) else default,
        show_default=default if isinstance(default, str) else True,
        help="Least score of a detection, exclusive.",
    )


def iou_option(default: float | str) -> Callable[..., Any]:
    """`--iou-thr`, as `score_option`."""
    return click.option(
        "--iou-thr",
        type=FiniteFloat(0, 1),
        default=None if isinstance(default, str) else default,
        show_default=default if isinstance(default, str) else True,
        help="IoU threshold of NMS.",
    )


resize_option = click.option(
    "--resize",
    type=click.Choice(("native", "portable")),
    help="Resize by OpenCV's kernels for this CPU, or by those that give the same bits on all.  "
    "[default: the model's own, native]",
)

NETWORK_OPTIONS = (
    click.option(
        "--backend",
        type=click.Choice(("onnxruntime", "openvino")),
        default="onnxruntime",
        show_default=True,
        help="Runtime of an .onnx.",
    ),
    click.option(
        "--device",
        default="cpu",
        show_default=True,
        help="Device of a model in torch, such as cuda.",
    ),
    click.option(
        "--input-size",
        type=Size(),
        help="Needed if MODEL takes any size: 416, or 800x608 for height and width.",
    ),
    resize_option,
    click.option(
        "--paddle-python",
        type=InputPath(),
        help="Python that has Paddle, to run a folder.  [default: this one; torch if it has none]",
    ),
)


def network_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator that adds the options on how MODEL is run."""
    for option in reversed(NETWORK_OPTIONS):
        command = option(command)
    return command
