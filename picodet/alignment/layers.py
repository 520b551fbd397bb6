"""The rung of the layers: every layer of ours against the reference's, alone and all together."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from picodet.alignment.comparison import Gap, Layer, Status, Unpaired
from picodet.alignment.gap import Tolerance, problem, worst
from picodet.alignment.lanes import Event, LayerError, run
from picodet.alignment.layered import ELSEWHERE
from picodet.alignment.paired import PairedCall
from picodet.alignment.recorded import Feed, Recorded
from picodet.models.picodet import PicoDet

OUTPUT = "output"
HEAD = "head"
WHOLE = ""  # the path of the whole model


class Moment(NamedTuple):
    """One layer, in all runs; None where a run is not made or has broken off.

    Fed with the reference's tensors, or alone, with its own; each also in float64 and with the
    additions in another order (one thread, means one by one), which shows the noise.
    """

    fed: Event | None
    fed_double: Event | None
    fed_reordered: Event | None
    alone: Event | None
    alone_double: Event | None
    alone_reordered: Event | None


class LayersResult(NamedTuple):
    """All layers in the order in which they return, and what has no partner."""

    layers: tuple[Layer, ...]
    unpaired: tuple[Unpaired, ...]
    heads: tuple[list[Tensor], ...]  # of our own runs: as it is, in double, reordered
    broken: str  # why the whole model could not be run to its end, or ""


def compare_layers(
    model: PicoDet,
    recorded: Recorded,
    images: Tensor,
    tolerance: Tolerance,
    progress: Callable[[int], None],
) -> LayersResult:
    """Run the model on the reference's input and hold every layer against the reference's.

    images [1, 3, H, W] in the precision of `model` and of the recording.
    """
    comparison, broken = _Comparison(recorded, tolerance), ""
    try:
        for done, moment in enumerate(_moments(model, recorded, images), 1):
            comparison.take(moment)
            progress(done)
    except LayerError as error:
        broken = f"{error.path or 'the whole model'} cannot be run: {error}"
    layers, unpaired = comparison.finish()
    return LayersResult(layers, unpaired, comparison.heads, broken)


def _moments(model: PicoDet, recorded: Recorded, images: Tensor) -> Iterator[Moment]:
    threads = torch.get_num_threads()
    others = 1 if threads > 1 else 2
    full = not recorded.recording.index.samples
    double, wide = copy.deepcopy(model).double(), images.double()
    in_double = images.dtype == torch.float64
    feeds = [None, *([Feed(recorded, images.dtype)] if full else [])]
    runs: list[Iterator[Event] | None] = []
    for feed in feeds:
        wide_feed = Feed(recorded, torch.float64) if feed else None
        runs += [
            run(model, images, feed, threads),
            None if in_double else run(double, wide, wide_feed, threads),
            run(model, images, feed, others, one_by_one=True),
        ]
    alone, fed = runs[:3], runs[3:] or [None, None, None]
    try:
        yield from _together(*fed, *alone)
    finally:
        torch.set_num_threads(threads)


def _together(*runs: Iterator[Event] | None) -> Iterator[Moment]:
    """Until the last run ends; raises what broke off the first of them, after all the others."""
    going = dict(enumerate(run for run in runs))
    failures: dict[int, LayerError] = {}
    while True:
        events: list[Event | None] = [None] * len(runs)
        for i, lane in list(going.items()):
            try:
                events[i] = next(lane, None) if lane else None
            except LayerError as error:
                failures[i] = error
            if events[i] is None:
                del going[i]
        if not any(events):
            break
        yield Moment(*events)
    if failures:
        raise failures[min(failures)]


class _Comparison:
    """Takes the layers as they return, and makes of each what the report says of it."""

    def __init__(self, recorded: Recorded, tolerance: Tolerance) -> None:
        self.recorded, self.tolerance = recorded, tolerance
        self.rows: list[Layer] = []
        self.heads: tuple[list[Tensor], ...] = ()
        self._lonely: list[Unpaired] = []
        self._seen: set[tuple[str, int]] = set()
        # what a layer that has not returned yet gave to those that it called: gap, and to whom
        self._given: dict[str, list[tuple[Gap, str]]] = {}
        self._folded: dict[str, str] = {}  # batch norm -> the convolution it is part of

    def take(self, moment: Moment) -> None:
        """One layer that has returned, in all runs."""
        event = moment.fed or moment.alone
        if event is None:
            return
        if event.path == HEAD:
            runs = (moment.alone, moment.alone_double, moment.alone_reordered)
            self.heads = tuple(run.outputs for run in runs if run)
        call = self.recorded.calls.get((event.path, event.number))
        given = self._given.pop(event.path, [])
        if call is None:
            if event.path in ELSEWHERE:
                self._add(event, event.path, ELSEWHERE[event.path], given, [], [])
            else:
                self._lonely.append(Unpaired("ours", event.path, event.type))
            return
        self._seen.add((event.path, event.number))
        self._note_inputs(moment, call)
        if call.folded_into:
            self._folded[call.folded_into] = call.path
            return
        path = " + ".join(filter(None, (self._folded.pop(event.path, None), event.path)))
        local = self._gaps(call, moment.fed, moment.fed_double, moment.fed_reordered)
        accumulated = self._gaps(call, moment.alone, moment.alone_double, moment.alone_reordered)
        self._add(event, path, call.reference, given, local, accumulated)

    def finish(self) -> tuple[tuple[Layer, ...], tuple[Unpaired, ...]]:
        """All layers, and what was never compared."""
        if given := self._given.pop("", []):
            local, where = _worst_of(given, [])
            status: Status = "aligned" if local is None or local.ok else "guilty"
            self.rows.append(Layer(WHOLE, WHOLE, 0, "PicoDet", None, local, status, where))
        if not any(row.status == "guilty" for row in self.rows):
            self._blame_the_first()
        missed = [
            Unpaired("reference", call.reference, call.type)
            for key, call in self.recorded.calls.items()
            if key not in self._seen
        ]
        return tuple(self.rows), (*self.recorded.pairing.unpaired, *self._lonely, *missed)

    def _blame_the_first(self) -> None:
        """No layer is wrong by itself, or none could be fed: the first that departs is named."""
        for i, row in enumerate(self.rows):
            if row.status == "affected":
                self.rows[i] = replace(row, status="guilty", where="output, with what came before")
                return

    def _add(
        self,
        event: Event,
        path: str,
        reference: str,
        given: list[tuple[Gap, str]],
        outputs: list[Gap],
        accumulated: list[Gap],
    ) -> None:
        local, where = _worst_of(given, outputs)
        total = worst(accumulated)
        status: Status = "aligned"
        if local is not None and not local.ok:
            status = "guilty"
        elif total is not None and not total.ok:
            status = "affected"
        row = Layer(path, reference, event.number, event.type, total, local, status, where)
        self.rows.append(row)

    def _note_inputs(self, moment: Moment, call: PairedCall) -> None:
        """What the caller gave to this layer is the caller's doing."""
        if moment.fed is None:
            return
        others = [other for other in (moment.fed_double, moment.fed_reordered) if other]
        child = call.path.removeprefix(f"{moment.fed.caller}.")
        for i, key in enumerate(call.inputs[: len(moment.fed.inputs)]):
            if key is not None:
                runs = [moment.fed.inputs[i], *(other.inputs[i] for other in others)]
                found = self.recorded.gap(runs, key, self.tolerance)
                self._given.setdefault(moment.fed.caller, []).append((found, f"input of {child}"))

    def _gaps(self, call: PairedCall, event: Event | None, *others: Event | None) -> list[Gap]:
        if event is None:
            return []
        if len(event.outputs) != len(call.outputs):
            wrong = f"{len(event.outputs)} tensors, the reference makes {len(call.outputs)}"
            return [problem(wrong)]
        gaps = []
        for i, key in enumerate(call.outputs):
            if key is not None:
                runs = [event.outputs[i], *(other.outputs[i] for other in others if other)]
                gaps.append(self.recorded.gap(runs, key, self.tolerance))
        return gaps


def _worst_of(given: list[tuple[Gap, str]], outputs: list[Gap]) -> tuple[Gap | None, str]:
    """What a layer did itself: what it gave to those it called, and what it put out."""
    doings = [*given, *((gap, OUTPUT) for gap in outputs)]
    if not doings:
        return None, ""
    found = worst([gap for gap, _ in doings])
    return found, next(where for gap, where in doings if gap is found)
