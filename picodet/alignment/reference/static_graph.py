"""Records static graphs, ONNX files and Paddle programs alike.

NumPy only: it also runs in Paddle's environment, without torch.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from picodet.alignment.recording.index import (
    Index,
    PreprocessingSettings,
    RecordedOutputs,
    ReferenceKind,
    Weight,
)
from picodet.alignment.recording.network_input import NetworkInput
from picodet.alignment.recording.writer import RecordingWriter, input_entries
from picodet.alignment.reference.request import RecordRequest
from picodet.errors import RecordingError
from picodet.graphs.graph import Graph, canonicalize, to_operators
from picodet.graphs.operators import Operator, TensorKey
from picodet.graphs.outputs import find_outputs, flatten_map
from picodet.graphs.passes.normalization import Normalization, take_normalization
from picodet.zoo.class_names import known_class_names


@dataclass(frozen=True)
class GraphRecord:
    """The part of a recording's index that comes from a static graph."""

    operators: tuple[Operator, ...]
    weights: tuple[Weight, ...]  # every parameter that an operator takes
    outputs: RecordedOutputs
    classes: tuple[str, ...] | None = None  # class names, if the file lists them
    normalization: Normalization | None = None  # that the graph does itself, before the network
    network_input: TensorKey | None = None  # the image after it


def record_graph(
    graph: Graph,
    run: Callable[[Sequence[str]], Sequence[np.ndarray]],
    writer: RecordingWriter,
    progress: Callable[[int, int], None],
) -> GraphRecord:
    """Run a graph once and store every tensor of its canonical form.

    `run(names)` returns the values of the named tensors. Raises GraphError for a graph that is not
    a PicoDet's, RecordingError for one whose NMS cannot be compared.
    """
    bare, normalization = take_normalization(graph)
    graph = canonicalize(bare)
    names = find_outputs(graph)
    tensor_names = list(dict.fromkeys(name for node in graph.nodes for name in node.outputs))
    tensor_names += sorted(names.all_names() - set(tensor_names))
    if normalization is not None:
        tensor_names.append(normalization.output)
    values = dict(zip(tensor_names, run(tensor_names), strict=True))
    keys: dict[str, TensorKey] = {}
    for name in tensor_names:
        array = np.asarray(values[name])
        keys[name] = writer.add(array.astype(np.uint8) if array.dtype == bool else array)
        progress(len(keys), len(tensor_names))
    weights = tuple(Weight(name, writer.add(array)) for name, array in graph.constants.items())

    def add_level(name: str) -> TensorKey:
        return writer.add(flatten_map(values[name], name))

    kept = None
    if names.kept and not names.in_image:
        raise RecordingError(
            f"{names.kept}, the output of the NMS, is in pixels of the network's input, because "
            "the graph has no input scale_factor; export the reference with that input"
        )
    if names.kept:
        kept = writer.add(_check_rows(values[names.kept], names.kept), whole=True)
    outputs = RecordedOutputs(
        scores=tuple(map(add_level, names.scores)),
        reg=tuple(map(add_level, names.reg)),
        boxes=names.boxes and keys[names.boxes],
        box_scores=names.box_scores and keys[names.box_scores],
        kept=kept,
    )
    network_input = None
    if normalization is not None:
        network_input = writer.add(np.asarray(values[normalization.output]), whole=True)
    return GraphRecord(
        to_operators(graph, keys),
        weights,
        outputs,
        normalization=normalization,
        network_input=network_input,
    )


def check_input(images: np.ndarray, expected: Sequence[int | None]) -> None:
    """Raise RecordingError where `images` has not the expected shape; None stands for any size."""
    fits = len(expected) == images.ndim and all(
        dim is None or dim == found for dim, found in zip(expected, images.shape, strict=True)
    )
    if not fits:
        dims = ", ".join("any" if dim is None else str(dim) for dim in expected)
        raise RecordingError(
            f"the input is {list(images.shape)}, the reference was exported for [{dims}]; change "
            "the input size, which is that of --input, of --input-size or of the model"
        )


def _check_rows(array: np.ndarray, name: str) -> np.ndarray:
    if array.ndim != 2 or array.shape[1] != 6:
        raise RecordingError(
            f"{name}, the output of the NMS, has the shape {list(array.shape)}; expected [N, 6], "
            "rows of class, score, x1, y1, x2, y2"
        )
    return array


def static_index(
    kind: ReferenceKind,
    request: RecordRequest,
    recorded: GraphRecord,
    writer: RecordingWriter,
    network_input: NetworkInput,
    sha256: str,
    versions: dict[str, str],
) -> Index:
    """The index of a recording of a static graph: no layers, preprocessing steps or probes."""
    entries, settings = input_entries(writer, network_input), request.settings
    if recorded.network_input is not None:
        entries["input"] = recorded.network_input
    if recorded.normalization is not None and settings is not None:
        numbers = recorded.normalization.after(settings.preprocessing)
        settings = PreprocessingSettings.of(settings.size, numbers)
    return Index(
        kind=kind,
        file=request.reference.name,
        sha256=sha256,
        versions=versions,
        precision="float32",
        samples=request.samples,
        **entries,
        settings=settings,
        weights=recorded.weights,
        steps=(),
        calls=(),
        operators=recorded.operators,
        network_outputs=recorded.outputs,
        probes={},
        tensors=writer.tensors,
        classes=known_class_names(
            request.classes, writer.tensors[recorded.outputs.scores[0]].shape[1]
        ),
    )
