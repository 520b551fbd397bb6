"""Makes a recording inside Paddle's own process; paddle_process.py starts it.

`main` takes an Order as JSON and tells on standard output, a line of JSON at a time, what goes on:
`done` and `total`, or `error`, or the name of a `missing` package. Needs paddlepaddle, NumPy,
OpenCV and, for a `.pdparams`, ppdet; no torch.
"""

import json
from dataclasses import replace
from typing import Any

import numpy as np

from picodet.alignment.index import Index, Settings, Weight
from picodet.alignment.network_input import NetworkInput, read_array
from picodet.alignment.order import Order
from picodet.alignment.recording_writer import RecordingWriter
from picodet.alignment.versions import versions
from picodet.config import ModelConfig
from picodet.converter import pdparams
from picodet.converter.configure import OFFICIAL_NAME, Wanted, configure
from picodet.converter.precision import as_float32
from picodet.data.preprocess import read_image
from picodet.errors import PicoDetError, RecordingError
from picodet.files import sha256


def main(order: str) -> None:
    """Carry out one order."""
    try:
        asked = Order.from_json(order)
        (record_program if asked.reference.is_dir() else record_ppdet)(asked)
    except PicoDetError as error:
        _tell(error=str(error))
    except ModuleNotFoundError as error:
        _tell(missing=error.name)


def record_ppdet(order: Order) -> None:
    """Run ppdet with the weights of a `.pdparams`."""
    arrays = {name: as_float32(array) for name, array in pdparams.read(order.reference).items()}
    weights = {name: array for name, array in arrays.items() if array is not None}
    config = _config(order, weights)
    if order.picture:
        read_image(order.picture)  # ppdet goes on without a word where it cannot be decoded

    import paddle  # noqa: PLC0415 (only now: it takes seconds)

    from picodet.alignment import ppdet_model, ppdet_recorder  # noqa: PLC0415

    paddle.set_device("cpu")
    writer = RecordingWriter(order.samples)
    if order.picture:
        arrays, scale_factor = ppdet_recorder.preprocess(
            order.picture, config.input_size, config.preprocessing
        )
        steps = ppdet_recorder.record_steps(writer, arrays)
        fed = NetworkInput(arrays["normalise"][None], scale_factor, order.picture.read_bytes())
    else:
        steps, fed = (), read_array(order.array)
    detector = ppdet_model.build(config)
    ppdet_model.fill(detector, weights)
    answers = ppdet_recorder.record_probes(detector, writer)
    if order.float64:
        ppdet_model.in_float64(detector)
        fed = replace(fed, array=fed.array.astype(np.float64))
    calls, ending = ppdet_recorder.record_forward(detector, config, writer, fed, _progress)
    numbers = config.preprocessing
    writer.write(
        order.out,
        Index(
            kind="ppdet",
            file=order.reference.name,
            sha256=sha256(order.reference),
            versions=versions("paddlepaddle", "paddledet"),
            precision="float64" if order.float64 else "float32",
            samples=order.samples,
            **_input(writer, fed),
            settings=Settings(config.input_size, numbers.interp, numbers.mean, numbers.std),
            weights=tuple(Weight(name, writer.add(array)) for name, array in weights.items()),
            steps=steps,
            calls=calls,
            operators=(),
            ending=ending,
            probes=answers,
            tensors=writer.tensors,
        ),
    )


def record_program(order: Order) -> None:
    """Run the program of an inference folder; ppdet is not needed."""
    raise NotImplementedError


def _config(order: Order, weights: dict[str, np.ndarray]) -> ModelConfig:
    size = None if OFFICIAL_NAME.search(order.reference.stem) else order.input_size
    shapes = {name: array.shape for name, array in weights.items()}
    configured = configure(shapes, order.reference, Wanted(input_size=size))
    if configured is None:
        raise RecordingError(
            f"{order.reference}: not a PicoDet that this version knows; picodet-convert says more"
        )
    return configured.config


def _input(writer: RecordingWriter, fed: NetworkInput) -> dict[str, Any]:
    """The part of an index that says what the network was fed.

    A summary leaves the array out where it has the picture: preprocessing makes it again.
    """
    picture = fed.picture and np.frombuffer(fed.picture, np.uint8)
    y, x = fed.scale_factor.tolist()
    return {
        "input": writer.add(fed.array, whole=picture is None),
        "picture": None if picture is None else writer.add(picture, whole=True),
        "scale_factor": (y, x),
    }


def _progress(done: int, total: int) -> None:
    _tell(done=done, total=total)


def _tell(**content: Any) -> None:
    print(json.dumps(content), flush=True)
