"""Forward passes of one model in lockstep: each waits after every layer for the others.

A float64 run, float32 runs and runs that are fed the reference's tensors go through the network
together, so that each layer is compared and then freed: no run is ever stored.
"""

import copy
import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor, nn

from picodet.alignment.rounding import PerturbedRounding, SequentialSums

T = TypeVar("T")

# attributes of every nn.Module that a run does not change: a clone shares them
SHARED = vars(nn.Module()).keys() - {
    *("_modules", "_parameters", "_buffers", "_forward_hooks", "_forward_pre_hooks")
}
ATOMIC = (int, float, str, type(None))
# what a layer that cannot be run raises: wrong shapes, missing arguments ..
RUN_ERRORS = (RuntimeError, ValueError, TypeError, IndexError, AttributeError)


class LayerCall(NamedTuple):
    """One call of one layer, just returned."""

    path: str
    number: int  # of the calls of this layer, from 0
    type: str
    caller: str  # path of the layer whose forward called it; "" for the whole model
    inputs: list[Tensor]  # as the caller computed them, each tensor once
    outputs: list[Tensor]  # as the layer computed them


class LayerError(Exception):
    """A layer raised an error; `path` is its path."""

    def __init__(self, path: str, error: Exception) -> None:
        super().__init__(f"{type(error).__name__}: {error}")
        self.path = path


class Feed(Protocol):
    """Gives the reference's tensors to a run; None leaves the run's own tensor."""

    def inputs(self, path: str, number: int) -> list[Tensor | None]: ...
    def outputs(self, path: str, number: int) -> list[Tensor | None]: ...


def run(
    model: nn.Module,
    images: Tensor,
    feed: Feed | None,
    threads: int,
    sequential_sums: bool = False,
    seed: int | None = None,
) -> Iterator[LayerCall]:
    """Yield every call of every layer as the layers return, running no further than asked.

    threads: of torch, which stay set. sequential_sums, seed: see SequentialSums and
    PerturbedRounding. With a `feed`, each layer takes the reference's tensors instead of its
    caller's, and passes on the reference's instead of its own: a LayerCall then shows what this
    layer and its caller computed themselves, without the errors before them. Hooks are set on a
    clone, not on `model`. Raises LayerError.
    """

    def forward(emit: Callable[[LayerCall], None]) -> None:
        torch.get_num_threads()  # a thread makes its own setting at the first use, not before
        run_blocking(
            clone_sharing_weights(model), images, feed, threads, emit, sequential_sums, seed
        )

    return iterate_callback(forward)


def run_blocking(
    model: nn.Module,
    images: Tensor,
    feed: Feed | None,
    threads: int,
    emit: Callable[[LayerCall], None],
    sequential_sums: bool = False,
    seed: int | None = None,
) -> None:
    """A complete run in this thread, with hooks on `model` itself. Raises LayerError."""
    torch.set_num_threads(threads)
    order = SequentialSums() if sequential_sums else nullcontext()
    rounding = nullcontext() if seed is None else PerturbedRounding(seed)
    hooked = LayerHooks(model, feed, emit)
    with torch.inference_mode(), order, rounding, hooked as open_calls:
        try:
            model(images)
        except RUN_ERRORS as error:
            raise LayerError(open_calls[-1][0] if open_calls else "", error) from error


def clone_sharing_weights(model: nn.Module) -> nn.Module:
    """A copy of all layers that shares parameters and buffers: hooks on it are not on `model`.

    Other dictionaries that each nn.Module has are shared as well: a layer has a dozen, and Python's
    garbage collector would go through those of all runs.
    """
    copies: dict[int, Any] = {
        id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())
    }
    copies.update((id(layer), copy.copy(layer)) for layer in model.modules())
    for layer in model.modules():
        for name, value in vars(layer).items():
            if not (name in SHARED or isinstance(value, ATOMIC)):
                vars(copies[id(layer)])[name] = copy.deepcopy(value, copies)
    clone: nn.Module = copies[id(model)]
    return clone


class LayerHooks:
    """Hooks on all layers below `model`, until the context ends; entering gives the open calls."""

    def __init__(
        self, model: nn.Module, feed: Feed | None, emit: Callable[[LayerCall], None]
    ) -> None:
        self.feed, self.emit = feed, emit
        self.counts: dict[str, int] = {}
        self.open: list[tuple[str, int, list[Tensor]]] = []  # the calls that have not returned
        self.handles = []
        for path, layer in model.named_modules():
            if path:
                before, after = self._before(path), self._after(path)
                self.handles += [
                    layer.register_forward_pre_hook(before),
                    layer.register_forward_hook(after),
                ]

    def __enter__(self) -> list[tuple[str, int, list[Tensor]]]:
        return self.open

    def __exit__(self, *_: object) -> None:
        for handle in self.handles:
            handle.remove()

    def _before(self, path: str) -> Callable[[nn.Module, Any], Any]:
        def hook(_: nn.Module, args: Any) -> Any:
            number = self.counts[path] = self.counts.get(path, -1) + 1
            self.open.append((path, number, unique_tensors(args)))
            return (
                args if self.feed is None else replace_tensors(args, self.feed.inputs(path, number))
            )

        return hook

    def _after(self, path: str) -> Callable[[nn.Module, Any, Any], Any]:
        def hook(layer: nn.Module, _: Any, output: Any) -> Any:
            _, number, inputs = self.open.pop()
            caller = self.open[-1][0] if self.open else ""
            kind = type(layer).__name__
            self.emit(LayerCall(path, number, kind, caller, inputs, unique_tensors(output)))
            if self.feed is None:
                return output
            return replace_tensors(output, self.feed.outputs(path, number))

        return hook


def unique_tensors(value: Any) -> list[Tensor]:
    """The tensors in a layer's arguments or result, each once."""
    return list({id(tensor): tensor for tensor in _all_tensors(value)}.values())


def _all_tensors(value: Any) -> Iterator[Tensor]:
    # no nested function: it would keep itself and the tensors until the next garbage collection
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _all_tensors(item)


def replace_tensors(value: Any, replacements: list[Tensor | None]) -> Any:
    """The same structure with other tensors, in the order of `unique_tensors`; None keeps one."""
    return substitute_tensors(
        value, {id(t): new for t, new in zip(unique_tensors(value), replacements, strict=False)}
    )


def substitute_tensors(value: Any, new: dict[int, Tensor | None]) -> Any:
    """The same structure with other tensors in it, by the id of the old; None keeps one."""
    if isinstance(value, Tensor):
        found = new.get(id(value))
        return value if found is None else found
    if isinstance(value, list | tuple):
        items = [substitute_tensors(item, new) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    return value


class _AbandonedError(Exception):
    """The generator was closed."""


def iterate_callback(work: Callable[[Callable[[T], None]], None]) -> Iterator[T]:
    """Turn a function with a callback into a generator of what the callback is given.

    `work` runs in a thread of its own, never at the same time as the caller: it waits in the
    callback until the next item is asked for. What it raises is raised here.
    """
    resume, stopped = threading.Semaphore(0), threading.Semaphore(0)
    slot: list[T] = []
    failure: list[BaseException] = []
    abandoned = threading.Event()

    def emit(item: T) -> None:
        slot.append(item)
        stopped.release()
        resume.acquire()
        if abandoned.is_set():
            raise _AbandonedError

    def target() -> None:
        resume.acquire()
        try:
            if not abandoned.is_set():
                work(emit)
        except _AbandonedError:
            pass
        except BaseException as error:
            failure.append(error)
        finally:
            stopped.release()

    thread = threading.Thread(target=target, daemon=True)
    thread.start()
    try:
        while True:
            resume.release()
            stopped.acquire()
            if not slot:
                break
            yield slot.pop()
        if failure:
            raise failure[0]
    finally:
        abandoned.set()
        resume.release()
        thread.join()
