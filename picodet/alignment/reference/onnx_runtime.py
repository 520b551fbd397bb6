"""Records a run of an ONNX file by onnxruntime."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx

from picodet.alignment.recording.index import METADATA_PROJECT, Weight
from picodet.alignment.recording.network_input import NetworkInput
from picodet.alignment.recording.writer import RecordingWriter
from picodet.alignment.reference.request import RecordRequest
from picodet.alignment.reference.static_graph import (
    GraphRecord,
    check_input,
    record_graph,
    static_index,
)
from picodet.errors import RecordingError
from picodet.files import sha256
from picodet.formats.meta import META_KEY, bins_from_meta
from picodet.graphs.graph import Graph
from picodet.graphs.onnx_reader import input_shape, read_onnx
from picodet.system.ort import onnxruntime
from picodet.system.versions import cpu, versions
from picodet.zoo.class_names import class_names_in_metadata


def record_onnx(
    file: Path,
    writer: RecordingWriter,
    images: np.ndarray,
    scale_factor: np.ndarray,
    progress: Callable[[int, int], None],
) -> GraphRecord:
    """Run an ONNX file on images [1, 3, H, W] and scale_factor [2] (y, x), on the CPU.

    Raises CheckpointError or GraphError for a file that is no ONNX file or no PicoDet,
    RecordingError where it cannot be run.
    """
    model, graph = read_onnx(file)
    check_input(images, input_shape(model.graph, graph.inputs[0]))
    feed = inputs_of(file, graph, images, scale_factor)
    recorded = record_graph(
        graph, lambda names: _run_tensors(file, model, feed, names), writer, progress
    )
    return _with_metadata(recorded, file, model, writer)


def _with_metadata(
    recorded: GraphRecord, file: Path, model: onnx.ModelProto, writer: RecordingWriter
) -> GraphRecord:
    """Add what the metadata holds: the class names and, in picodet's exports, the bins' values.

    An export of raw heads has these nowhere else.
    """
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    recorded = replace(recorded, classes=class_names_in_metadata(metadata))
    if META_KEY not in metadata:
        return recorded
    try:
        meta = json.loads(metadata[META_KEY])
        bins, classes = bins_from_meta(meta), tuple(str(name) for name in meta["classes"])
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise RecordingError(
            f"{file}: the metadata {META_KEY} is not as picodet writes it: {error}; export the "
            "model again"
        ) from error
    if bins is not None:
        project = Weight(METADATA_PROJECT, writer.add(np.array(bins, np.float32)))
        recorded = replace(recorded, weights=(*recorded.weights, project))
    return replace(recorded, classes=classes)


def inputs_of(
    file: Path, graph: Graph, images: np.ndarray, scale_factor: np.ndarray
) -> dict[str, np.ndarray]:
    """The graph's inputs by name, from images [1, 3, H, W] and scale_factor [2] (y, x).

    Raises RecordingError where the graph has other inputs.
    """
    known_inputs = {"scale_factor": scale_factor.reshape(1, 2).astype(np.float32)}
    known_inputs[graph.inputs[0]] = images.astype(np.float32)
    feed = {name: known_inputs[name] for name in graph.inputs if name in known_inputs}
    if unknown := set(graph.inputs) - set(feed):
        raise RecordingError(
            f"{file}: unknown inputs {', '.join(sorted(unknown))}; expected the image and "
            "scale_factor only"
        )
    return feed


def _run_tensors(
    file: Path, model: onnx.ModelProto, feed: Mapping[str, np.ndarray], names: Sequence[str]
) -> list[np.ndarray]:
    """The values of the named tensors, which are added to the outputs of a copy of the model."""
    opened = onnx.ModelProto()
    opened.CopyFrom(model)
    outputs = {value.name for value in model.graph.output}
    opened.graph.output.extend(onnx.ValueInfoProto(name=n) for n in names if n not in outputs)
    try:
        return run_model(opened, feed, names)
    except Exception as error:  # onnxruntime's errors have no common base class
        raise RecordingError(f"{file}: onnxruntime cannot run it: {error}") from error


def run_model(
    model: onnx.ModelProto, feed: Mapping[str, np.ndarray], names: Sequence[str], threads: int = 0
) -> list[np.ndarray]:
    """The named outputs, computed without graph optimizations. 0 threads: one per core."""
    options = onnxruntime.SessionOptions()
    # an optimized graph has other operators than the file
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4  # errors are raised; it warns of weights listed as inputs
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return list(session.run(list(names), dict(feed)))


def record_onnx_file(
    request: RecordRequest, network_input: NetworkInput, progress: Callable[[int, int], None]
) -> None:
    """Make the recording that `request` describes. Raises as `record_onnx`, and OutputError."""
    with RecordingWriter(request.samples) as writer:
        recorded = record_onnx(
            request.reference, writer, network_input.array, network_input.scale_factor, progress
        )
        index = static_index(
            "onnx",
            replace(request, classes=recorded.classes),
            recorded,
            writer,
            network_input,
            sha256(request.reference),
            versions("onnx", "onnxruntime") | {"CPU": cpu()},
        )
        writer.write(request.out, index)
