"""What all commands have in common: how they fail, and how they show that they go on."""

import errno
import gc
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from picodet.errors import Note, PicoDetError
from picodet.files import check_apart, check_writable, write_json
from picodet.intervals import lines

FILE = click.Path(path_type=Path)

# Python searches all objects for garbage again and again while torch is imported, and finds
# nothing: a fifth of the time of picodet-convert (benchmarks/convert.py).
GARBAGE = 200_000  # new objects before it searches


class Command(click.Command):
    """A command whose errors are for people and, with `--json`, for machines; no traceback."""

    failure = click.ClickException  # what a user can put right is shown as; 1

    def invoke(self, ctx: click.Context) -> Any:
        usual = gc.get_threshold()
        gc.set_threshold(GARBAGE)
        try:
            with _warnings_as_notes():
                return self._invoke_with_json(ctx, ctx.params.get("json_file"))
        except PicoDetError as error:
            raise self.failure(str(error)) from error
        except OSError as error:  # of the terminal, or of the file it is redirected to
            if error.errno == errno.EPIPE:
                raise  # click knows what to do when nobody reads on
            raise self.failure(f"cannot print: {error.strerror}") from error
        finally:
            gc.set_threshold(*usual)

    def _invoke_with_json(self, ctx: click.Context, json_file: Path | None) -> Any:
        if json_file is None:
            return super().invoke(ctx)
        check_writable(json_file, overwrite=True)
        given = [value for name, value in ctx.params.items() if name != "json_file"]
        several = [each for value in given if isinstance(value, tuple) for each in value]
        check_apart(json_file, [Path(v) for v in (*given, *several) if isinstance(v, Path | str)])
        try:
            return super().invoke(ctx)
        except PicoDetError as error:
            write_json(json_file, error.as_json())
            raise


@contextmanager
def _warnings_as_notes() -> Iterator[None]:
    """What our readers warn of, without the line of code that does."""
    usual = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *place: Any) -> None:
        if issubclass(category, Note):
            click.echo(f"note: {message}", err=True)
        else:
            usual(message, category, *place)

    warnings.showwarning = show
    try:
        yield
    finally:
        warnings.showwarning = usual


@contextmanager
def progress_bar(
    description: str, unit: str = "", clock: Callable[[], float] = time.monotonic
) -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error, or a line now and then when that is no terminal; yields what moves
    it.

    With a unit it tells how many of them a second.
    """
    from rich.console import Console
    from rich.progress import Progress, ProgressColumn, Task
    from rich.text import Text

    class Speed(ProgressColumn):
        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text(f"{speed:.1f} {unit}/s" if speed else "")

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lines(description, unit, clock)
        return
    columns = (*Progress.get_default_columns(), *((Speed(),) if unit else ()))
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(description, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def fetch_official(path: Path) -> Path:
    """The file behind an official name, fetched once; anything else as it is.

    Raises FetchError where it cannot be had, PicoDetError for a name without published weights.
    """
    if path.exists() or path.suffix or len(path.parts) != 1:
        return path
    from picodet.fetching import fetch
    from picodet.official import published_url

    url = published_url(path.name)
    if url is None:
        return path
    with progress_bar(f"fetching {path.name}") as progress:
        return fetch(url, progress).path


class Size(click.ParamType):
    """`416`, or `800x608` for height and width."""

    name = "SIZE"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        sides = str(value).lower().split("x")
        if len(sides) > 2 or not all(side.isascii() and side.isdecimal() for side in sides):
            self.fail(f"{value!r}: 416, or 800x608 for height and width", param, ctx)
        return int(sides[0]), int(sides[-1])


NETWORK_OPTIONS = (
    click.option(
        "--backend",
        type=click.Choice(("onnxruntime", "openvino")),
        default="onnxruntime",
        show_default=True,
        help="What runs an .onnx.",
    ),
    click.option("--device", default="cpu", show_default=True, help="Of a model in torch: cuda."),
    click.option("--input-size", type=Size(), help="Where MODEL takes any: 416, or 800x608."),
    click.option(
        "--paddle-python",
        type=FILE,
        help="Python with Paddle, for a folder.  [default: this one; torch if it has none]",
    ),
)


def network_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """How MODEL is to be run, where there is a choice."""
    for option in reversed(NETWORK_OPTIONS):
        command = option(command)
    return command
