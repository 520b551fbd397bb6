"""An ONNX file of a PicoDet as the model that is compared with a recording.

What onnxruntime computes with the file is compared. The noise is measured with a PyTorch model of
the same weights: a fault of the graph cannot raise the tolerance.
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
from picodet.alignment.onnx.failing_layers import onnx_failing_layers
from picodet.alignment.onnx.postprocess import exported_postprocess
from picodet.alignment.onnx.runs import ReferenceFedRun, WholeGraphRun
from picodet.alignment.onnx.subgraph import Subgraphs
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
    """A file that was read and recognized as a PicoDet, not run yet; a Candidate."""

    path: Path
    proto: onnx.ModelProto
    graph: Graph  # in canonical form
    operators: tuple[Operator, ...]  # of that
    names: GraphOutputs
    traced: TracedModel
    node_mapping: NodeMapping
    weights: GraphWeights
    model: PicoDet  # with the same weights
    notes: tuple[str, ...]
    classes: tuple[str, ...] | None  # None where the file has none
    size_assumed: bool  # whether the input size was assumed, as the graph takes any

    def check_input(self, recording: Recording) -> None:
        index = recording.index
        if index.precision != "float32":
            raise AlignmentError(
                f"{recording.path}: recorded in {index.precision}, but an ONNX file computes in "
                "float32; record the reference without --float64"
            )
        expected = input_shape(self.proto.graph, self.graph.inputs[0])
        shape = index.tensors[index.input].shape
        if any(size not in (None, found) for size, found in zip(expected, shape, strict=False)):
            raise AlignmentError(
                f"{self.path}: takes an input of {expected}; the reference was fed {list(shape)}. "
                "Record the reference with --input-size"
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
        """Drop the tensor within a folded pair, which the file lacks."""
        inner = [i for i, source in enumerate(call.inputs) if source in self.node_mapping.internal]
        outer = [i for i, source in enumerate(call.outputs) if source in self.node_mapping.internal]
        return replace(
            paired,
            inputs=tuple(None if i in inner else key for i, key in enumerate(paired.inputs)),
            outputs=tuple(None if i in outer else key for i, key in enumerate(paired.outputs)),
            folded_into=self.node_mapping.folded.get(paired.path, paired.folded_into),
        )

    def weights_stage(self, recording: Recording, pairing: Pairing, tolerance: Tolerance) -> Stage:
        return compare_onnx_weights(self.weights, recording, pairing, tolerance)

    def snapshots(
        self, model: PicoDet, recorded: ReferenceTensors, images: Tensor
    ) -> Iterator[LayerSnapshot]:
        subgraphs, calls = self._subgraphs(recorded, images), self.traced.calls
        reference_fed_noise, whole_run_noise = noise_runs(model, recorded, images)
        whole_run = WholeGraphRun(subgraphs, self.node_mapping, calls).layer_calls()
        reference_fed = (
            [ReferenceFedRun(subgraphs, self.node_mapping, calls, recorded).layer_calls()]
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
        reference_fed = ReferenceFedRun(subgraphs, self.node_mapping, self.traced.calls, recorded)
        return onnx_failing_layers(reference_fed, model, self.traced, set(wanted))

    def postprocess(self, recorded: ReferenceTensors, images: Tensor | None) -> ExportedPostprocess:
        tensor_names = {
            call.path: self.node_mapping.tensor_names[call.outputs[0]]
            for call in self.traced.calls
            if call.outputs[0] in self.node_mapping.tensor_names
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
    """Read an ONNX file and recognize its network; nothing is run.

    weight_set must be None, as an export has only one. Raises GraphError for a file that is not
    ONNX, CheckpointError for a `weight_set` or damaged metadata, AlignmentError for one that
    onnxruntime cannot run or that is not a PicoDet.
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
    operators = to_operators(graph, {name: name for node in graph.nodes for name in node.outputs})
    node_mapping = map_nodes(traced, operators, stored, graph.inputs[0], str(path))
    project = next(iter(find_project(traced, operators).values()), None)
    weights = read_weights(traced, node_mapping, graph, project)
    # bins in the metadata are those that the heads are decoded with
    if INTEGRAL_PROJECT not in weights.single and described.bins is not None:
        single = {**weights.single, INTEGRAL_PROJECT: np.array(described.bins, np.float32)}
        weights = replace(weights, single=single)
    model = build_model(described.config, weights)
    return OnnxModel(
        *(path, proto, graph, operators, names, traced, node_mapping, weights, model),
        notes=described.notes + bins.notes(model.head.integral.project.numpy()),
        classes=described.classes,
        size_assumed=described.size_assumed,
    )
