"""Run by test_other_kernels.py in another process, since OPENCV_IPP is read once.

python other_kernels.py record FILE SAMPLES     what ppdet would record of an image
python other_kernels.py compare FILE ..         ours against each, and with each fault planted
"""

import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
from own_recording import CONFIG

from picodet.alignment.checks.image_probes import compare_image_probes, preprocess_probe
from picodet.alignment.checks.preprocessing import compare_preprocessing, preprocessing_steps
from picodet.alignment.checks.probes import LIVE_ANSWERS, _answers
from picodet.alignment.recording import probes
from picodet.alignment.recording.index import PreprocessingSettings, PreprocessingStep
from picodet.alignment.recording.reader import Recording
from picodet.alignment.recording.writer import RecordingWriter
from picodet.data.resize_kernels import fingerprint, use_kernels
from tests.alignment.recording.test_writer import index_of

ROOT = Path(__file__).parents[2]
CONFIG_480 = replace(CONFIG, input_size=(480, 480))
PREPROCESSING_CONFIG = CONFIG_480.preprocessing


def record(path, samples):
    """As picodet.alignment.paddle_side.main: what differs between machines is recorded whole."""
    photo = cv2.imread(str(probes.IMAGE))[60:220, 150:310]  # where IPP's own kernels differ
    encoded_image = cv2.imencode(".jpg", photo)[1].tobytes()
    with RecordingWriter(samples) as writer:
        made, answers = (
            preprocessing_steps(encoded_image, CONFIG_480),
            probes.collect_preprocessing(preprocess_probe),
        )
        with use_kernels("portable"):
            portable = preprocessing_steps(
                encoded_image, CONFIG_480
            ) | probes.collect_preprocessing(preprocess_probe)
        made["resize"] = made["resize"].astype("f4")

        def add(name, array):
            depends_on_kernel = name == "resize" or name in answers
            return writer.add(
                array, whole=depends_on_kernel and not np.array_equal(array, portable[name])
            )

        steps = tuple(PreprocessingStep(name, add(name, array)) for name, array in made.items())
        keys = {name: add(name, array) for name, array in answers.items()}
        encoded = writer.add(np.frombuffer(encoded_image, np.uint8), whole=True)
        index = replace(
            index_of(writer),
            image=encoded,
            settings=PreprocessingSettings(
                CONFIG_480.input_size,
                PREPROCESSING_CONFIG.interp,
                PREPROCESSING_CONFIG.mean,
                PREPROCESSING_CONFIG.std,
            ),
            steps=steps,
            probes=keys,
            kernels=fingerprint("native"),
        )
        writer.write(path, index)


def compare(path):
    """The preprocessing stage: of the right model, and of each fault of preprocessing."""
    from benchmarks.fault_injection.fault_list import PREPROCESSING

    with Recording(path) as recording:
        yield {"fault": None, **asdict(_stage(recording, CONFIG_480))}
        for fault in PREPROCESSING:
            model = SimpleNamespace(config=CONFIG_480)
            with fault.planted(model):
                stage = _stage(recording, model.config)
            yield {"fault": fault.name, "places": fault.places, **asdict(stage)}


def _stage(recording, config):
    _, shipped, _ = _answers(recording)
    compared = compare_image_probes(recording, dict(recording.index.probes), shipped)
    return compare_preprocessing(
        config, recording, compared.findings, LIVE_ANSWERS, compared.kernels
    )


if __name__ == "__main__":
    if sys.argv[1] == "record":
        record(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        found = {path: list(compare(Path(path))) for path in sys.argv[2:]}
        sys.stdout.write(json.dumps(found))
