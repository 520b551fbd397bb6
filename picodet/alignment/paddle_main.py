"""Makes a recording inside Paddle's own process; paddle_process.py starts it.

`main` takes an Order as JSON and tells on standard output, a line of JSON at a time, what goes on:
`done` and `total`, or `error`, or the name of a `missing` package. Needs paddlepaddle, NumPy,
OpenCV and, for a `.pdparams`, ppdet; no torch.
"""

import json
import sys
from dataclasses import replace
from typing import Any

import numpy as np

from picodet.alignment import probes
from picodet.alignment.index import Index, Settings, Weight
from picodet.alignment.input_entries import input_entries
from picodet.alignment.network_input import NetworkInput, read_array
from picodet.alignment.order import Order
from picodet.alignment.recording_writer import RecordingWriter
from picodet.alignment.static_record import static_index
from picodet.config import ModelConfig, Preprocessing
from picodet.converter.configure import NAME, Said, Wanted, configure
from picodet.converter.precision import as_float32
from picodet.converter.recognise import recognise_detector
from picodet.errors import PicoDetError, RecordingError
from picodet.files import sha256
from picodet.inference.program_file import WEIGHTS, is_inference_folder, program_file
from picodet.porting.paddle_weights import read_checkpoint, read_training_folder
from picodet.versions import versions


def main(order: str) -> None:
    """Carry out one order."""
    try:
        asked = Order.from_json(order)
        (record_program if is_inference_folder(asked.reference) else record_ppdet)(asked)
    except PicoDetError as error:
        _tell(error=str(error))
    except ModuleNotFoundError as error:
        _tell(missing=error.name)


def record_ppdet(order: Order) -> None:
    """Run ppdet with the weights of a `.pdparams` or `.pdema`, or of a training's folder."""
    is_folder = order.reference.is_dir()
    read = (read_training_folder if is_folder else read_checkpoint)(order.reference, None)
    weights = {}
    for name, array in read.arrays.items():
        weight = as_float32(array)
        if weight is not None:
            weights[name] = weight
    config = _config(order, read.said, weights)

    import paddle  # noqa: PLC0415 (only now: it takes seconds)

    from picodet.alignment import ppdet_model, ppdet_recorder  # noqa: PLC0415

    paddle.set_device("cpu")
    with RecordingWriter(order.samples) as writer:
        if order.picture:
            fed, steps = ppdet_recorder.record_picture(order.picture, config, writer)
        elif order.array:
            fed, steps = read_array(order.array), ()
        detector = ppdet_model.build(config)
        ppdet_model.fill(detector, weights)
        answers = ppdet_recorder.record_probes(ppdet_model.nms(), writer)
        if order.float64:
            ppdet_model.in_float64(detector)
            fed = replace(fed, array=fed.array.astype(np.float64))
        calls, ending = ppdet_recorder.record_forward(detector, config, writer, fed, _progress)
        numbers = config.preprocessing
        index = Index(
            kind="ppdet",
            file=read.origin.path.name,
            sha256=sha256(read.origin.path),
            versions=versions("paddlepaddle", "paddledet") | {probes.VERSION: probes.digest()},
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
        )
        writer.write(order.out, index)


def record_program(order: Order) -> None:
    """Run the program of an inference folder; ppdet is not needed, and the input is ready."""
    from picodet.alignment import paddle_program  # noqa: PLC0415 (imports Paddle)

    fed = NetworkInput.load(order.array) if order.array else None
    if fed is None:
        raise RecordingError(f"{order.reference}: no input was prepared for its program")
    weights = program_file(order.reference).with_suffix(WEIGHTS)
    with RecordingWriter(order.samples) as writer:
        recorded = paddle_program.record_program(
            order.reference, writer, fed.array, fed.scale_factor, _progress
        )
        ran = versions("paddlepaddle")
        index = static_index("paddle program", order, recorded, writer, fed, sha256(weights), ran)
        writer.write(order.out, index)


def _config(order: Order, said: Said, weights: dict[str, np.ndarray]) -> ModelConfig:
    """Tensors and the file's name tell it; the size may have to come with the order."""
    found = recognise_detector({name: array.shape for name, array in weights.items()})
    if found is None:
        raise RecordingError(
            f"{order.reference}: not a PicoDet that this version knows; picodet-convert says more"
        )
    size = None if NAME.search(said.name) else order.input_size
    config = configure(found, said, Wanted(input_size=size)).config
    if order.settings is None:
        return config
    told = order.settings
    numbers = Preprocessing(told.mean, told.std, told.interp)
    return replace(config, input_size=told.size, preprocessing=numbers)


def _progress(done: int, total: int) -> None:
    _tell(done=done, total=total)


def _tell(**content: Any) -> None:
    sys.stdout.write(json.dumps(content) + "\n")
    sys.stdout.flush()
