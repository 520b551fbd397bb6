"""Makes a recording inside Paddle's own process; paddle_process.py starts it.

`main` takes an Order as JSON and tells on standard output, a line of JSON at a time, what goes on:
`done` and `total`, or `error`, or the name of a `missing` package. Needs paddlepaddle, NumPy,
OpenCV and, for a `.pdparams`, ppdet; no torch.
"""

from dataclasses import replace

import numpy as np

from picodet.alignment.paddle_side import checkpoint
from picodet.alignment.recording import probes
from picodet.alignment.recording.index import Index, Settings, Weight
from picodet.alignment.recording.network_input import NetworkInput, read_array
from picodet.alignment.recording.writer import RecordingWriter, input_entries
from picodet.alignment.reference.request import Order
from picodet.alignment.reference.static_graph import static_index
from picodet.errors import RecordingError
from picodet.files import sha256
from picodet.formats.inference_folder import WEIGHTS, is_inference_folder, program_file
from picodet.paddle_process.progress import carry_out, progress
from picodet.system.versions import cpu, versions


def main(order: str) -> None:
    """Carry out one order."""
    asked = Order.from_json(order)
    record = record_program if is_inference_folder(asked.reference) else record_ppdet
    carry_out(lambda: record(asked))


def record_ppdet(order: Order) -> None:
    """Run ppdet with the weights of a `.pdparams` or `.pdema`, or of a training's folder."""
    read = checkpoint.read(order.reference, order.input_size, order.settings)
    config, weights = read.config, read.weights

    import paddle  # noqa: PLC0415 (only now: it takes seconds)

    from picodet.alignment.paddle_side import model, recorder  # noqa: PLC0415

    paddle.set_device("cpu")
    with RecordingWriter(order.samples) as writer:
        if order.picture:
            fed, steps = recorder.record_picture(order.picture, config, writer)
        elif order.array:
            fed, steps = read_array(order.array), ()
        detector = model.build(config)
        model.fill(detector, weights)
        answers = recorder.record_probes(model.nms(), writer)
        if order.float64:
            model.in_float64(detector)
            fed = replace(fed, array=fed.array.astype(np.float64))
        calls, ending = recorder.record_forward(detector, config, writer, fed, progress)
        numbers = config.preprocessing
        index = Index(
            kind="ppdet",
            file=read.path.name,
            sha256=sha256(read.path),
            versions=versions("paddlepaddle", "paddledet")
            | {"CPU": cpu(), probes.VERSION: probes.digest()},
            precision="float64" if order.float64 else "float32",
            samples=order.samples,
            **input_entries(writer, fed),
            settings=Settings(config.input_size, numbers.interp, numbers.mean, numbers.std),
            weights=tuple(Weight(name, writer.add(array)) for name, array in weights.items()),
            steps=steps,
            calls=calls,
            operators=(),
            ending=ending,
            probes=answers,
            tensors=writer.tensors,
            classes=order.classes,
        )
        writer.write(order.out, index)


def record_program(order: Order) -> None:
    """Run the program of an inference folder; ppdet is not needed, and the input is ready."""
    from picodet.alignment.paddle_side import programs  # noqa: PLC0415 (imports Paddle)

    fed = NetworkInput.load(order.array) if order.array else None
    if fed is None:
        raise RecordingError(f"{order.reference}: no input was prepared for its program")
    weights = program_file(order.reference).with_suffix(WEIGHTS)
    with RecordingWriter(order.samples) as writer:
        recorded = programs.record_program(
            order.reference, writer, fed.array, fed.scale_factor, progress
        )
        ran = versions("paddlepaddle") | {"CPU": cpu()}
        index = static_index("paddle program", order, recorded, writer, fed, sha256(weights), ran)
        writer.write(order.out, index)
