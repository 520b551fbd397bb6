"""Records an ONNX file, run by onnxruntime in this process."""

from collections.abc import Callable
from dataclasses import replace

from picodet.alignment.recording.network_input import NetworkInput
from picodet.alignment.recording.writer import RecordingWriter
from picodet.alignment.reference.onnx_runtime import record_onnx
from picodet.alignment.reference.request import Order
from picodet.alignment.reference.static_graph import static_index
from picodet.files import sha256
from picodet.system.versions import cpu, versions


def record_onnx_file(order: Order, fed: NetworkInput, progress: Callable[[int, int], None]) -> None:
    """Carry out one order."""
    with RecordingWriter(order.samples) as writer:
        recorded = record_onnx(order.reference, writer, fed.array, fed.scale_factor, progress)
        index = static_index(
            "onnx",
            replace(order, classes=recorded.classes),
            recorded,
            writer,
            fed,
            sha256(order.reference),
            versions("onnx", "onnxruntime") | {"CPU": cpu()},
        )
        writer.write(order.out, index)
