"""An ONNX file of a PicoDet, to be held against a recording as a model of ours is.

What is compared is what onnxruntime computes with the file. A model of ours with its weights stands
beside it and shows the noise: a fault of the graph cannot raise what is allowed.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
from torch import Tensor

from picodet.alignment.checks.export_postprocess import ExportedPostprocess
from picodet.alignment.checks.layers import LayerSnapshot, drop_missing, in_lockstep, noise_runs
from picodet.alignment.checks.score_epsilon import adds_epsilon
from picodet.alignment.diagnosis.replay import CallId, FailingLayer
from picodet.alignment.onnx.config import check_runnable, read_config
from picodet.alignment.onnx.postprocess import exported_postprocess
from picodet.alignment.onnx.runs import ReferenceFedRun, WholeGraphRun
from picodet.alignment.onnx.subgraph import Subgraphs
from picodet.alignment.onnx.suspect import onnx_failing_layers
from picodet.alignment.onnx.weights import build_model, compare_onnx_weights
from picodet.alignment.pairing.pairs import PairedCall, Pairing
from picodet.alignment.recording.reader import Recording
from picodet.alignment.reference.onnx_runtime import inputs_of
from picodet.alignment.reference_tensors import ReferenceTensors
from picodet.alignment.result import Stage
from picodet.alignment.tolerance import Tolerance
from picodet.converter import bins
from picodet.converter.paddle_checkpoints import WeightSet
from picodet.errors import AlignmentError, ConversionError, GraphError
from picodet.graphs.graph import Graph, canonicalize, to_operators
from picodet.graphs.node_mapping import NodeMapping, map_nodes
from picodet.graphs.onnx_reader import input_shape, read_onnx
from picodet.graphs.operators import Operator
from picodet.graphs.outputs import GraphOutputs, find_outputs
from picodet.graphs.tracing import TracedCall, TracedModel, trace
from picodet.graphs.weights import INTEGRAL_PROJECT, GraphWeights, find_project, read_weights
from picodet.models.picodet import PicoDet


@dataclass(frozen=True)
class OnnxModel:
    """One file, read and found to be a PicoDet; nothing of it has been run."""

    path: Path
    proto: onnx.ModelProto
    graph: Graph  # in canonical form
    operators: tuple[Operator, ...]  # of that
    names: GraphOutputs
    traced: TracedModel
    places: NodeMapping
    contents: GraphWeights
    model: PicoDet  # with the same weights
    notes: tuple[str, ...]
    classes: tuple[str, ...] | None  # None where the file does not name them
    size_assumed: bool  # the size of the input, as any is taken

    def check_input(self, recording: Recording) -> None:
        index = recording.index
        if index.precision != "float32":
            raise AlignmentError(
                f"{recording.path}: recorded in {index.precision}, and an ONNX computes in "
                "float32; record the reference without --float64"
            )
        expected = input_shape(self.proto.graph, self.graph.inputs[0])
        shape = index.tensors[index.input].shape
        if any(side not in (None, found) for side, found in zip(expected, shape, strict=False)):
            raise AlignmentError(
                f"{self.path}: exported for an input of {expected}; the reference was fed "
                f"{list(shape)}. Record it with --input-size"
            )

    def comparable_pairing(self, pairing: Pairing) -> Pairing:
        calls = {(call.path, call.number): call for call in self.traced.calls}
        return replace(
            pairing,
            calls=tuple(
                self._hide_folded(paired, calls[paired.path, paired.number])
                if (paired.path, paired.number) in calls
                else paired
                for paired in pairing.calls
            ),
        )

    def _hide_folded(self, paired: PairedCall, call: TracedCall) -> PairedCall:
        """What lies within a folded pair is nowhere in the file, whatever the reference has."""
        inner = [i for i, source in enumerate(call.inputs) if source in self.places.internal]
        outer = [i for i, source in enumerate(call.outputs) if source in self.places.internal]
        return replace(
            paired,
            inputs=tuple(None if i in inner else key for i, key in enumerate(paired.inputs)),
            outputs=tuple(None if i in outer else key for i, key in enumerate(paired.outputs)),
            folded_into=self.places.folded.get(paired.path, paired.folded_into),
        )

    def weights_stage(self, recording: Recording, pairing: Pairing, tolerance: Tolerance) -> Stage:
        return compare_onnx_weights(self.contents, recording, pairing, tolerance)

    def snapshots(
        self, model: PicoDet, recorded: ReferenceTensors, images: Tensor
    ) -> Iterator[LayerSnapshot]:
        subgraphs, calls = self._subgraphs(recorded, images), self.traced.calls
        reference_fed_noise, whole_run_noise = noise_runs(model, recorded, images)
        whole_run = WholeGraphRun(subgraphs, self.places, calls).layer_calls()
        reference_fed = (
            [ReferenceFedRun(subgraphs, self.places, calls, recorded).layer_calls()]
            if reference_fed_noise
            else []
        )
        ends = [
            len(reference_fed),
            len(reference_fed) + 1,
            len(reference_fed) + 1 + len(reference_fed_noise),
        ]
        for layer_calls in in_lockstep(
            [*reference_fed, whole_run, *reference_fed_noise, *whole_run_noise]
        ):
            yield LayerSnapshot(
                layer_calls[0] if reference_fed else None,
                layer_calls[ends[0]],
                drop_missing(layer_calls[ends[1] : ends[2]]),
                drop_missing(layer_calls[ends[2] :]),
            )

    def failing_layers(
        self, model: PicoDet, images: Tensor, recorded: ReferenceTensors, wanted: Iterable[CallId]
    ) -> Mapping[CallId, FailingLayer]:
        subgraphs = self._subgraphs(recorded, images)
        reference_fed = ReferenceFedRun(subgraphs, self.places, self.traced.calls, recorded)
        return onnx_failing_layers(reference_fed, model, self.traced, set(wanted))

    def postprocess(self, recorded: ReferenceTensors, images: Tensor | None) -> ExportedPostprocess:
        tensor_names = {
            call.path: self.places.tensor_names[call.outputs[0]]
            for call in self.traced.calls
            if call.outputs[0] in self.places.tensor_names
        }
        scale_factor = np.array(recorded.recording.index.scale_factor, np.float32)
        exported = exported_postprocess(
            self._subgraphs(recorded, images), self.names, tensor_names, scale_factor
        )
        return replace(exported, adds_epsilon=adds_epsilon(self.operators))

    def _subgraphs(self, recorded: ReferenceTensors, images: Tensor | None) -> Subgraphs:
        feed = {}
        if images is not None:
            scale_factor = np.array(recorded.recording.index.scale_factor)
            feed = inputs_of(self.path, self.graph, images.numpy(), scale_factor)
        return Subgraphs(self.proto, feed)


def load(path: Path, weight_set: WeightSet | None = None) -> OnnxModel:
    """which: of several sets of weights, of which an export has one.

    Raises GraphError for a file that is no ONNX or another network, CheckpointError for one whose
    metadata are damaged, AlignmentError for one that onnxruntime does not know or that is no
    PicoDet.
    """
    proto, graph = read_onnx(path)
    check_runnable(path, proto, graph.inputs[0])
    try:
        graph = canonicalize(graph)
        names = find_outputs(graph)
        described = read_config(path, graph, names, weight_set)
    except (GraphError, ConversionError) as error:
        raise AlignmentError(f"{path}: {error}") from error
    traced = trace(described.config)
    stored = {name: array.shape for name, array in graph.constants.items()}
    theirs = to_operators(graph, {name: name for node in graph.nodes for name in node.outputs})
    places = map_nodes(traced, theirs, stored, graph.inputs[0], str(path))
    project = next(iter(find_project(traced, theirs).values()), None)
    contents = read_weights(traced, places, graph, project)
    if (
        INTEGRAL_PROJECT not in contents.single and described.bins is not None
    ):  # whoever runs it decodes with them
        single = {**contents.single, INTEGRAL_PROJECT: np.array(described.bins, np.float32)}
        contents = replace(contents, single=single)
    model = build_model(described.config, contents)
    return OnnxModel(
        *(path, proto, graph, theirs, names, traced, places, contents, model),
        notes=described.notes + bins.notes(model.head.integral.project.numpy()),
        classes=described.classes,
        size_assumed=described.size_assumed,
    )
