"""The rung of the layers: every layer of ours against the reference's, alone and all together."""

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from picodet.alignment.lockstep_runs import Event, LayerError, run
from picodet.alignment.pairing.by_name import ELSEWHERE
from picodet.alignment.pairing.pairs import PairedCall
from picodet.alignment.reference_tensors import ReferenceFeed, ReferenceTensors
from picodet.alignment.result import Gap, Layer, Status, Unpaired
from picodet.alignment.rounding import DRAWS
from picodet.alignment.tolerance import Tolerance, problem, worst
from picodet.models.picodet import PicoDet

OUTPUT = "output"
HEAD = "head"
WHOLE = ""  # the path of the whole model
DRAWS_OF_ONE_LAYER = 2  # it has an error of its own in each of its values


class Moment(NamedTuple):
    """One layer, in all runs; None where a run is not made or has broken off.

    Fed with the reference's tensors, or alone, with its own. Beside each stand runs of our own
    network that should be equal, and whose differences are the noise: as it is, in float64, with
    the additions in another order (one thread, and one by one where Paddle does it so), and with
    numbers rounded the other way, several times.
    """

    fed: Event | None
    alone: Event | None
    fed_noise: tuple[Event, ...]
    alone_noise: tuple[Event, ...]


Run = Callable[..., Iterator[Event]]  # as lanes.run
Widened = Callable[[PicoDet], PicoDet]
Moments = Callable[[PicoDet, ReferenceTensors, Tensor], Iterator[Moment]]


class LayersResult(NamedTuple):
    """All layers in the order in which they return, and what has no partner."""

    layers: tuple[Layer, ...]
    unpaired: tuple[Unpaired, ...]
    heads: tuple[list[Tensor], ...]  # of what is compared, then of the runs that show the noise
    broken: str  # why the whole model could not be run to its end, or ""


def compare_layers(
    model: PicoDet,
    recorded: ReferenceTensors,
    images: Tensor,
    tolerance: Tolerance,
    progress: Callable[[int], None],
    made: Moments | None = None,
) -> LayersResult:
    """Run the model on the reference's input and hold every layer against the reference's.

    images [1, 3, H, W] in the precision of `model` and of the recording. made: what is compared in
    place of `model`, which then has the same weights and shows the noise.
    """
    comparison, broken = _Comparison(recorded, tolerance), ""
    try:
        for done, moment in enumerate((made or moments)(model, recorded, images), 1):
            comparison.take(moment)
            progress(done)
    except LayerError as error:
        broken = f"{error.path or 'the whole model'} cannot be run: {error}"
    layers, unpaired = comparison.finish()
    return LayersResult(layers, unpaired, comparison.heads, broken)


def widened(model: PicoDet) -> PicoDet:
    """The same in float64."""
    return copy.deepcopy(model).double()


def moments(
    model: PicoDet,
    recorded: ReferenceTensors,
    images: Tensor,
    run: Run = run,
    double: Widened = widened,
) -> Iterator[Moment]:
    """Of a model of ours, whose own runs are among those that show the noise: see noise_runs."""
    fed_noise, alone_noise = noise_runs(model, recorded, images, run, double)
    for events in together([*fed_noise, *alone_noise]):
        fed, alone = events[: len(fed_noise)], events[len(fed_noise) :]
        yield Moment(next(iter(fed), None), alone[0], present(fed), present(alone))


def noise_runs(
    model: PicoDet,
    recorded: ReferenceTensors,
    images: Tensor,
    run: Run = run,
    double: Widened = widened,
) -> tuple[list[Iterator[Event]], list[Iterator[Event]]]:
    """Fed, which a summary has no tensors for, and alone; of each the first as the model is.

    run, double: how one is run, and the model in float64, where many images share them.
    """
    threads = torch.get_num_threads()
    others = 1 if threads > 1 else 2
    wide_model, wide = double(model), images.double()

    def runs(
        feed: ReferenceFeed | None, wide_feed: ReferenceFeed | None, draws: int
    ) -> list[Iterator[Event]]:
        same = [
            run(model, images, feed, threads),
            run(model, images, feed, others, one_by_one=True),
        ]
        if images.dtype == torch.float64:  # what is allowed there is no multiple of the noise
            return same
        seeded = [run(model, images, feed, threads, seed=seed) for seed in range(draws)]
        return [*same, run(wide_model, wide, wide_feed, threads), *seeded]

    alone = runs(None, None, DRAWS)
    if recorded.recording.index.samples:
        return [], alone
    fed = runs(
        ReferenceFeed(recorded, images.dtype),
        ReferenceFeed(recorded, torch.float64),
        DRAWS_OF_ONE_LAYER,
    )
    return fed, alone


def together(runs: Sequence[Iterator[Event]]) -> Iterator[list[Event | None]]:
    """Until the last run ends; raises what broke off the first of them, after all the others."""
    threads = torch.get_num_threads()
    going = dict(enumerate(runs))
    failures: dict[int, LayerError] = {}
    try:
        while True:
            events: list[Event | None] = [None] * len(runs)
            for i, lane in list(going.items()):
                try:
                    events[i] = next(lane, None)
                except LayerError as error:
                    failures[i] = error
                if events[i] is None:
                    del going[i]
            if not any(events):
                break
            yield events
    finally:
        torch.set_num_threads(threads)
    if failures:
        raise failures[min(failures)]


def present(events: Sequence[Event | None]) -> tuple[Event, ...]:
    """Of those runs that have come so far."""
    return tuple(event for event in events if event)


class _Comparison:
    """Takes the layers as they return, and makes of each what the report says of it."""

    def __init__(self, recorded: ReferenceTensors, tolerance: Tolerance) -> None:
        self.recorded, self.tolerance = recorded, tolerance
        self.local_tolerance = tolerance.of_one_layer()
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
            runs = present([moment.alone])
            runs += tuple(run for run in moment.alone_noise if run is not moment.alone)
            self.heads = tuple(run.outputs for run in runs) if moment.alone else ()
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
        local = self._gaps(call, moment.fed, moment.fed_noise, self.local_tolerance)
        accumulated = self._gaps(call, moment.alone, moment.alone_noise, self.tolerance)
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
        child = call.path.removeprefix(f"{moment.fed.caller}.")
        for i, key in enumerate(call.inputs[: len(moment.fed.inputs)]):
            if key is not None:
                runs = [run.inputs[i] for run in moment.fed_noise]
                found = self.recorded.gap(moment.fed.inputs[i], key, self.local_tolerance, runs)
                self._given.setdefault(moment.fed.caller, []).append((found, f"input of {child}"))

    def _gaps(
        self,
        call: PairedCall,
        event: Event | None,
        noise: tuple[Event, ...],
        tolerance: Tolerance,
    ) -> list[Gap]:
        if event is None:
            return []
        if len(event.outputs) != len(call.outputs):
            wrong = f"{len(event.outputs)} tensors, the reference makes {len(call.outputs)}"
            return [problem(wrong)]
        gaps = []
        for i, key in enumerate(call.outputs):
            if key is not None:
                runs = [run.outputs[i] for run in noise]
                gaps.append(self.recorded.gap(event.outputs[i], key, tolerance, runs))
        return gaps


def _worst_of(given: list[tuple[Gap, str]], outputs: list[Gap]) -> tuple[Gap | None, str]:
    """What a layer did itself: what it gave to those it called, and what it put out."""
    doings = [*given, *((gap, OUTPUT) for gap in outputs)]
    if not doings:
        return None, ""
    found = worst([gap for gap, _ in doings])
    return found, next(where for gap, where in doings if gap is found)
