"""The rung of the layers: every layer of ours against the reference's, alone and all together."""

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from picodet.alignment.lockstep_runs import LayerCall, LayerError, run
from picodet.alignment.pairing.by_name import COMPARED_ELSEWHERE
from picodet.alignment.pairing.pairs import PairedCall
from picodet.alignment.reference_tensors import ReferenceFeed, ReferenceTensors
from picodet.alignment.result import Difference, Layer, Status, Unpaired
from picodet.alignment.rounding import NUM_PERTURBATIONS
from picodet.alignment.tolerance import Tolerance, not_comparable, worst
from picodet.models.picodet import PicoDet

OUTPUT = "output"
HEAD = "head"
ROOT_PATH = ""  # the path of the whole model
NUM_LOCAL_PERTURBATIONS = 2  # it has an error of its own in each of its values


class LayerSnapshot(NamedTuple):
    """One layer, in all runs; None where a run is not made or has broken off.

    Fed with the reference's tensors, or alone, with its own. Beside each stand runs of our own
    network that should be equal, and whose differences are the noise: as it is, in float64, with
    the additions in another order (one thread, and one by one where Paddle does it so), and with
    numbers rounded the other way, several times.
    """

    reference_fed: LayerCall | None
    whole_run: LayerCall | None
    reference_fed_noise: tuple[LayerCall, ...]
    whole_run_noise: tuple[LayerCall, ...]


RunFunction = Callable[..., Iterator[LayerCall]]  # as lanes.run
ToFloat64 = Callable[[PicoDet], PicoDet]
SnapshotFunction = Callable[[PicoDet, ReferenceTensors, Tensor], Iterator[LayerSnapshot]]


class LayersResult(NamedTuple):
    """All layers in the order in which they return, and what has no partner."""

    layers: tuple[Layer, ...]
    unpaired: tuple[Unpaired, ...]
    heads: tuple[list[Tensor], ...]  # of what is compared, then of the runs that show the noise
    run_error: str  # why the whole model could not be run to its end, or ""


def compare_layers(
    model: PicoDet,
    recorded: ReferenceTensors,
    images: Tensor,
    tolerance: Tolerance,
    progress: Callable[[int], None],
    candidate_snapshots: SnapshotFunction | None = None,
) -> LayersResult:
    """Run the model on the reference's input and hold every layer against the reference's.

    images [1, 3, H, W] in the precision of `model` and of the recording. made: what is compared in
    place of `model`, which then has the same weights and shows the noise.
    """
    comparison, run_error = _LayerComparison(recorded, tolerance), ""
    try:
        for done, snapshot in enumerate(
            (candidate_snapshots or snapshots)(model, recorded, images), 1
        ):
            comparison.add(snapshot)
            progress(done)
    except LayerError as error:
        run_error = f"{error.path or 'the whole model'} cannot be run: {error}"
    layers, unpaired = comparison.finish()
    return LayersResult(layers, unpaired, comparison.heads, run_error)


def float64_copy(model: PicoDet) -> PicoDet:
    """The same in float64."""
    return copy.deepcopy(model).double()


def snapshots(
    model: PicoDet,
    recorded: ReferenceTensors,
    images: Tensor,
    run: RunFunction = run,
    double: ToFloat64 = float64_copy,
) -> Iterator[LayerSnapshot]:
    """Of a model of ours, whose own runs are among those that show the noise: see noise_runs."""
    reference_fed_noise, whole_run_noise = noise_runs(model, recorded, images, run, double)
    for layer_calls in in_lockstep([*reference_fed_noise, *whole_run_noise]):
        reference_fed, whole_run = (
            layer_calls[: len(reference_fed_noise)],
            layer_calls[len(reference_fed_noise) :],
        )
        yield LayerSnapshot(
            next(iter(reference_fed), None),
            whole_run[0],
            drop_missing(reference_fed),
            drop_missing(whole_run),
        )


def noise_runs(
    model: PicoDet,
    recorded: ReferenceTensors,
    images: Tensor,
    run: RunFunction = run,
    double: ToFloat64 = float64_copy,
) -> tuple[list[Iterator[LayerCall]], list[Iterator[LayerCall]]]:
    """Fed, which a summary has no tensors for, and alone; of each the first as the model is.

    run, double: how one is run, and the model in float64, where many images share them.
    """
    threads = torch.get_num_threads()
    others = 1 if threads > 1 else 2
    float64_model, float64_images = double(model), images.double()

    def runs(
        feed: ReferenceFeed | None, float64_feed: ReferenceFeed | None, num_perturbations: int
    ) -> list[Iterator[LayerCall]]:
        unperturbed = [
            run(model, images, feed, threads),
            run(model, images, feed, others, sequential_sums=True),
        ]
        if images.dtype == torch.float64:  # what is allowed there is no multiple of the noise
            return unperturbed
        perturbed = [
            run(model, images, feed, threads, seed=seed) for seed in range(num_perturbations)
        ]
        return [*unperturbed, run(float64_model, float64_images, float64_feed, threads), *perturbed]

    whole_run = runs(None, None, NUM_PERTURBATIONS)
    if recorded.recording.index.samples:
        return [], whole_run
    reference_fed = runs(
        ReferenceFeed(recorded, images.dtype),
        ReferenceFeed(recorded, torch.float64),
        NUM_LOCAL_PERTURBATIONS,
    )
    return reference_fed, whole_run


def in_lockstep(runs: Sequence[Iterator[LayerCall]]) -> Iterator[list[LayerCall | None]]:
    """Until the last run ends; raises what broke off the first of them, after all the others."""
    threads = torch.get_num_threads()
    active = dict(enumerate(runs))
    failures: dict[int, LayerError] = {}
    try:
        while True:
            layer_calls: list[LayerCall | None] = [None] * len(runs)
            for i, one_run in list(active.items()):
                try:
                    layer_calls[i] = next(one_run, None)
                except LayerError as error:
                    failures[i] = error
                if layer_calls[i] is None:
                    del active[i]
            if not any(layer_calls):
                break
            yield layer_calls
    finally:
        torch.set_num_threads(threads)
    if failures:
        raise failures[min(failures)]


def drop_missing(layer_calls: Sequence[LayerCall | None]) -> tuple[LayerCall, ...]:
    """Of those runs that have come so far."""
    return tuple(layer_call for layer_call in layer_calls if layer_call)


class _LayerComparison:
    """Takes the layers as they return, and makes of each what the report says of it."""

    def __init__(self, recorded: ReferenceTensors, tolerance: Tolerance) -> None:
        self.recorded, self.tolerance = recorded, tolerance
        self.local_tolerance = tolerance.for_one_layer()
        self.rows: list[Layer] = []
        self.heads: tuple[list[Tensor], ...] = ()
        self._without_partner: list[Unpaired] = []
        self._compared: set[tuple[str, int]] = set()
        # what a layer that has not returned yet gave to those that it called: gap, and to whom
        self._input_differences: dict[str, list[tuple[Difference, str]]] = {}
        self._folded: dict[str, str] = {}  # batch norm -> the convolution it is part of

    def add(self, snapshot: LayerSnapshot) -> None:
        """One layer that has returned, in all runs."""
        layer_call = snapshot.reference_fed or snapshot.whole_run
        if layer_call is None:
            return
        if layer_call.path == HEAD:
            runs = drop_missing([snapshot.whole_run])
            runs += tuple(run for run in snapshot.whole_run_noise if run is not snapshot.whole_run)
            self.heads = tuple(run.outputs for run in runs) if snapshot.whole_run else ()
        call = self.recorded.calls.get((layer_call.path, layer_call.number))
        input_differences = self._input_differences.pop(layer_call.path, [])
        if call is None:
            if layer_call.path in COMPARED_ELSEWHERE:
                self._add(
                    layer_call,
                    layer_call.path,
                    COMPARED_ELSEWHERE[layer_call.path],
                    input_differences,
                    [],
                    [],
                )
            else:
                self._without_partner.append(Unpaired("ours", layer_call.path, layer_call.type))
            return
        self._compared.add((layer_call.path, layer_call.number))
        self._compare_inputs(snapshot, call)
        if call.folded_into:
            self._folded[call.folded_into] = call.path
            return
        path = " + ".join(filter(None, (self._folded.pop(layer_call.path, None), layer_call.path)))
        local = self._output_differences(
            call, snapshot.reference_fed, snapshot.reference_fed_noise, self.local_tolerance
        )
        accumulated = self._output_differences(
            call, snapshot.whole_run, snapshot.whole_run_noise, self.tolerance
        )
        self._add(layer_call, path, call.reference, input_differences, local, accumulated)

    def finish(self) -> tuple[tuple[Layer, ...], tuple[Unpaired, ...]]:
        """All layers, and what was never compared."""
        if input_differences := self._input_differences.pop("", []):
            local, where = _local_error(input_differences, [])
            status: Status = "aligned" if local is None or local.ok else "guilty"
            self.rows.append(Layer(ROOT_PATH, ROOT_PATH, 0, "PicoDet", None, local, status, where))
        if not any(row.status == "guilty" for row in self.rows):
            self._blame_first_affected()
        never_called = [
            Unpaired("reference", call.reference, call.type)
            for key, call in self.recorded.calls.items()
            if key not in self._compared
        ]
        return tuple(self.rows), (
            *self.recorded.pairing.unpaired,
            *self._without_partner,
            *never_called,
        )

    def _blame_first_affected(self) -> None:
        """No layer is wrong by itself, or none could be fed: the first that departs is named."""
        for i, row in enumerate(self.rows):
            if row.status == "affected":
                self.rows[i] = replace(row, status="guilty", where="output, with what came before")
                return

    def _add(
        self,
        layer_call: LayerCall,
        path: str,
        reference: str,
        input_differences: list[tuple[Difference, str]],
        outputs: list[Difference],
        accumulated: list[Difference],
    ) -> None:
        local, where = _local_error(input_differences, outputs)
        total = worst(accumulated)
        status: Status = "aligned"
        if local is not None and not local.ok:
            status = "guilty"
        elif total is not None and not total.ok:
            status = "affected"
        row = Layer(
            path, reference, layer_call.number, layer_call.type, total, local, status, where
        )
        self.rows.append(row)

    def _compare_inputs(self, snapshot: LayerSnapshot, call: PairedCall) -> None:
        """What the caller gave to this layer is the caller's doing."""
        if snapshot.reference_fed is None:
            return
        child = call.path.removeprefix(f"{snapshot.reference_fed.caller}.")
        for i, key in enumerate(call.inputs[: len(snapshot.reference_fed.inputs)]):
            if key is not None:
                runs = [run.inputs[i] for run in snapshot.reference_fed_noise]
                found = self.recorded.measure_difference(
                    snapshot.reference_fed.inputs[i], key, self.local_tolerance, runs
                )
                self._input_differences.setdefault(snapshot.reference_fed.caller, []).append(
                    (found, f"input of {child}")
                )

    def _output_differences(
        self,
        call: PairedCall,
        layer_call: LayerCall | None,
        noise: tuple[LayerCall, ...],
        tolerance: Tolerance,
    ) -> list[Difference]:
        if layer_call is None:
            return []
        if len(layer_call.outputs) != len(call.outputs):
            wrong = f"{len(layer_call.outputs)} tensors, the reference makes {len(call.outputs)}"
            return [not_comparable(wrong)]
        differences = []
        for i, key in enumerate(call.outputs):
            if key is not None:
                runs = [run.outputs[i] for run in noise]
                differences.append(
                    self.recorded.measure_difference(layer_call.outputs[i], key, tolerance, runs)
                )
        return differences


def _local_error(
    input_differences: list[tuple[Difference, str]], outputs: list[Difference]
) -> tuple[Difference | None, str]:
    """What a layer did itself: what it gave to those it called, and what it put out."""
    named = [*input_differences, *((difference, OUTPUT) for difference in outputs)]
    if not named:
        return None, ""
    found = worst([difference for difference, _ in named])
    return found, next(where for difference, where in named if difference is found)
