"""Makes a recording in Paddle's process, started by reference/paddle.py.

`main` takes a RecordRequest as JSON and sends progress or an error (paddle_process/worker.py).
Needs paddlepaddle, NumPy, OpenCV and, for a `.pdparams`, ppdet; no torch.
"""

from dataclasses import replace

import numpy as np

from picodet.alignment.paddle_side.checkpoint import load
from picodet.alignment.recording import probes
from picodet.alignment.recording.index import Index, PreprocessingSettings, Weight
from picodet.alignment.recording.network_input import NetworkInput, read_array
from picodet.alignment.recording.writer import RecordingWriter, input_entries
from picodet.alignment.reference.request import RecordRequest
from picodet.alignment.reference.static_graph import static_index
from picodet.errors import RecordingError
from picodet.files import sha256
from picodet.formats.inference_folder import WEIGHTS_SUFFIX, find_program, is_inference_folder
from picodet.paddle_process.worker import ProgressCallback, run_work
from picodet.system.versions import cpu, versions


def main(request: str) -> None:
    """Make the recording of a RecordRequest in JSON; errors are reported on standard output."""
    parsed = RecordRequest.from_json(request)
    record = record_program if is_inference_folder(parsed.reference) else record_ppdet
    run_work(lambda progress: record(parsed, progress))


def record_ppdet(request: RecordRequest, progress: ProgressCallback) -> None:
    """Record ppdet with the weights of a `.pdparams` or `.pdema`, or of a training output folder.

    Raises a PicoDetError where that fails.
    """
    checkpoint = load(request.reference, request.input_size, request.settings)
    config, weights = checkpoint.config, checkpoint.weights

    import paddle  # noqa: PLC0415 (after the checks: it takes seconds)

    from picodet.alignment.paddle_side import model, recorder  # noqa: PLC0415

    paddle.set_device("cpu")
    with RecordingWriter(request.samples) as writer:
        if request.image:
            network_input, steps = recorder.record_preprocessing(request.image, config, writer)
        elif request.array:
            network_input, steps = read_array(request.array), ()
        detector = model.build(config)
        model.load_weights(detector, weights)
        answers = recorder.record_probes(model.build_nms(), writer)
        if request.float64:
            model.convert_to_float64(detector)
            network_input = replace(network_input, array=network_input.array.astype(np.float64))
        calls, outputs = recorder.record_forward(detector, config, writer, network_input, progress)
        index = Index(
            kind="ppdet",
            file=checkpoint.path.name,
            sha256=sha256(checkpoint.path),
            versions=versions("paddlepaddle", "paddledet")
            | {"CPU": cpu(), probes.VERSION_KEY: probes.questions_digest()},
            precision="float64" if request.float64 else "float32",
            samples=request.samples,
            **input_entries(writer, network_input),
            settings=PreprocessingSettings.of(config.input_size, config.preprocessing),
            weights=tuple(Weight(name, writer.add(array)) for name, array in weights.items()),
            steps=steps,
            calls=calls,
            operators=(),
            network_outputs=outputs,
            probes=answers,
            tensors=writer.tensors,
            classes=request.classes,
        )
        writer.write(request.out, index)


def record_program(request: RecordRequest, progress: ProgressCallback) -> None:
    """Record the program of an inference folder, without ppdet.

    `request.array` is the .npz of a NetworkInput. Raises a PicoDetError where that fails.
    """
    from picodet.alignment.paddle_side import programs  # noqa: PLC0415 (imports Paddle)

    network_input = NetworkInput.load(request.array) if request.array else None
    if network_input is None:
        raise RecordingError(
            f"{request.reference}: the request has no array; expected the .npz of a NetworkInput"
        )
    weights = find_program(request.reference).with_suffix(WEIGHTS_SUFFIX)
    with RecordingWriter(request.samples) as writer:
        recorded = programs.record_program(
            request.reference,
            writer,
            network_input.array,
            network_input.scale_factor,
            progress,
        )
        package_versions = versions("paddlepaddle") | {"CPU": cpu()}
        index = static_index(
            "paddle program",
            request,
            recorded,
            writer,
            network_input,
            sha256(weights),
            package_versions,
        )
        writer.write(request.out, index)
