"""The layers stage: every layer of the model against the reference's, alone and in the whole."""

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
from picodet.alignment.result import Difference, Layer, Status, Unpaired, worst
from picodet.alignment.rounding import NUM_PERTURBATIONS
from picodet.alignment.tolerance import Tolerance, not_comparable
from picodet.models.picodet import PicoDet

OUTPUT = "output"
HEAD = "head"
ROOT_PATH = ""  # the path of the whole model
NUM_LOCAL_PERTURBATIONS = 2  # few: a layer alone errs independently in each of its values


class LayerSnapshot(NamedTuple):
    """One call of one layer in all runs; None where a run is not made or has failed.

    `reference_fed` takes the reference's tensors, `whole_run` its own. Beside each are runs of the
    PyTorch model that should be equal, and whose differences are the noise: unchanged, in float64,
    with other orders of addition (threads, sequential summation), and several with numbers rounded
    the other way.
    """

    reference_fed: LayerCall | None
    whole_run: LayerCall | None
    reference_fed_noise: tuple[LayerCall, ...]
    whole_run_noise: tuple[LayerCall, ...]


RunFunction = Callable[..., Iterator[LayerCall]]  # as lockstep_runs.run
ToFloat64 = Callable[[PicoDet], PicoDet]
SnapshotFunction = Callable[[PicoDet, ReferenceTensors, Tensor], Iterator[LayerSnapshot]]


class LayersResult(NamedTuple):
    """All layers in the order in which they return, and layers without a partner."""

    layers: tuple[Layer, ...]
    unpaired: tuple[Unpaired, ...]
    heads: tuple[list[Tensor], ...]  # of the candidate, then of the runs that show the noise
    run_error: str  # why the forward pass failed, or ""


def compare_layers(
    model: PicoDet,
    recorded: ReferenceTensors,
    images: Tensor,
    tolerance: Tolerance,
    progress: Callable[[int], None],
    candidate_snapshots: SnapshotFunction | None = None,
) -> LayersResult:
    """Run the model on the reference's input and compare every layer with the reference's.

    images [1, 3, H, W] in the precision of `model` and of the recording. candidate_snapshots: runs
    what is compared instead of `model`, which then has the same weights and shows the noise.
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
    """A copy in float64."""
    return copy.deepcopy(model).double()


def snapshots(
    model: PicoDet,
    recorded: ReferenceTensors,
    images: Tensor,
    run: RunFunction = run,
    double: ToFloat64 = float64_copy,
) -> Iterator[LayerSnapshot]:
    """All layers of a PyTorch model, whose own runs are the first of those that show the noise."""
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
    """The runs fed by the reference (none with a summary) and the whole ones.

    The first of each is the model unchanged. run, double: how one run is made, and how the model is
    converted to float64; replaced where many images share the work.
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
        if images.dtype == torch.float64:  # its tolerance is no multiple of the noise
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
    """One call of each run at a time, None after its end, until the last run ends.

    A LayerError of a run is raised at the end; of several the first run's. Sets torch's number of
    threads back.
    """
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
    """The calls of the runs that got this far."""
    return tuple(layer_call for layer_call in layer_calls if layer_call)


class _LayerComparison:
    """Takes the layers as they return, and makes a Layer of each."""

    def __init__(self, recorded: ReferenceTensors, tolerance: Tolerance) -> None:
        self.recorded, self.tolerance = recorded, tolerance
        self.local_tolerance = tolerance.for_one_layer()
        self.rows: list[Layer] = []
        self.heads: tuple[list[Tensor], ...] = ()
        self._unpaired: list[Unpaired] = []
        self._compared: set[tuple[str, int]] = set()
        # by the path of a layer that has not returned yet: what it passed to the layers it called
        self._input_differences: dict[str, list[tuple[Difference, str]]] = {}
        self._folded: dict[str, str] = {}  # batch norm -> the convolution it is part of

    def add(self, snapshot: LayerSnapshot) -> None:
        """Compare one layer that has returned."""
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
                self._unpaired.append(Unpaired("model", layer_call.path, layer_call.type))
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
        """All layers, and what has no partner."""
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
            *self._unpaired,
            *never_called,
        )

    def _blame_first_affected(self) -> None:
        """Where no layer alone is wrong, or none was run alone, the first affected is guilty."""
        for i, row in enumerate(self.rows):
            if row.status == "affected":
                self.rows[i] = replace(
                    row, status="guilty", where="output, with all layers before it"
                )
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
        """Compare the inputs of a layer, for which its caller is responsible."""
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
            wrong = f"{len(layer_call.outputs)} tensors; the reference returns {len(call.outputs)}"
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
    """The worst of what a layer passed to the layers that it called, and of its output."""
    named = [*input_differences, *((difference, OUTPUT) for difference in outputs)]
    if not named:
        return None, ""
    found = worst(difference for difference, _ in named)
    return found, next(where for difference, where in named if difference is found)
