"""Valid files of more forms than `bad_files` has: recordings, datasets, predictions, checkpoints.

Beside each its reader, which reads all of it.
"""

import gzip
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from tarfile import PAX_FORMAT
from tempfile import TemporaryDirectory

import numpy as np
import tar_files
import torch
from drawn_forms import voc_object, voc_xml

from picodet.alignment.recording.index import (
    Index,
    PreprocessingSettings,
    PreprocessingStep,
    RecordedCall,
    RecordedOutputs,
    Weight,
)
from picodet.alignment.recording.network_input import read_array
from picodet.alignment.recording.reader import Recording
from picodet.alignment.recording.writer import RecordingWriter
from picodet.alignment.training import npz_file
from picodet.alignment.training.batch import GroundTruth, TrainingBatch, read_batch
from picodet.alignment.training.recording import (
    TERMS,
    LearningRates,
    RecordedAssignment,
    TrainingRecording,
    TrainingRun,
    tensor_digest,
)
from picodet.data.coco import read_annotations
from picodet.data.forms.problems import Problems
from picodet.data.forms.voc_xml import clip, read_voc_xml
from picodet.data.forms.yolo import read_labels
from picodet.data.forms.yolo_settings import read_data_yaml
from picodet.data.image_checksums import ImageChecksum
from picodet.download.tar_reader import read_members
from picodet.errors import PicoDetError
from picodet.evaluation.detections import read_predictions
from picodet.evaluation.resume import read_progress, write_progress
from picodet.graphs.operators import Operator, Source
from picodet.inference.layout_options import options_from_text
from picodet.training import checkpoint as checkpoints

RUN_SETTINGS = {"model": "x"}
SUMS = {4: ("4.png", ImageChecksum(1000, 1)), 9: ("9.png", ImageChecksum(2000, 2))}
ANNOTATIONS = {
    "images": [{"id": i, "file_name": f"{i}.png", "height": 20, "width": 30} for i in (4, 9)],
    "categories": [{"id": 1, "name": "cat"}, {"id": 3, "name": "dog"}],
    "annotations": [
        {
            **{"id": 7, "image_id": 4, "category_id": 3, "bbox": [1, 2, 3.5, 4]},
            **{"area": 14, "iscrowd": 0},
        }
    ],
}
RESULTS = [
    {"image_id": 4, "category_id": 3, "bbox": [1.25, 2, 3, 4], "score": score}
    for score in (0.5, 0.25)
]


def read_recording(path: Path) -> None:
    with Recording(path) as recording:
        for key in recording.index.tensors:
            recording.samples(key)


def annotations() -> bytes:
    return json.dumps(ANNOTATIONS).encode()


def results() -> bytes:
    return json.dumps(RESULTS).encode()


def packed_results() -> bytes:
    return gzip.compress(results(), mtime=0)


def recording(samples: int = 0) -> bytes:
    """A recording with everything that an index can hold."""
    random = np.random.RandomState(0)

    def floats(*shape: int) -> np.ndarray:
        return random.normal(size=shape).astype(np.float32)

    with RecordingWriter(samples) as writer:
        image = floats(1, 3, 32, 32)
        decoded = np.zeros((4, 5, 3), np.uint8)
        encoded = writer.add(np.arange(9, dtype=np.uint8), whole=True)
        steps = {"decode": decoded, "colour": decoded + 1, "resize": np.zeros((32, 32, 3), "f4")}
        steps["normalise"] = image[0]
        weight = writer.add(floats(2, 3, 1, 1))
        made = [writer.add(floats(1, 2, 8, 8)) for _ in range(2)]
        cells = (16, 4, 1, 1)
        index = Index(
            kind="ppdet",
            file="x.pdparams",
            sha256="0" * 64,
            versions={"numpy": "2"},
            precision="float32",
            samples=samples,
            input=writer.add(image, whole=True),
            image=encoded,
            scale_factor=(8.0, 6.4),
            settings=PreprocessingSettings((32, 32), 2, (0.4, 0.5, 0.6), (0.1, 0.2, 0.3)),
            weights=(Weight("conv.weight", weight),),
            steps=tuple(
                PreprocessingStep(name, writer.add(array)) for name, array in steps.items()
            ),
            calls=(RecordedCall("conv", 0, "Conv2D", (made[0],), (made[1],)),),
            operators=(
                Operator("conv", "a", (Source(-1),), (made[0],), {"weight": "conv.weight"}),
                Operator("relu", "b", (Source(0, 0),), (made[1],)),
            ),
            network_outputs=RecordedOutputs(
                tuple(writer.add(floats(1, 2, n)) for n in cells),
                tuple(writer.add(floats(1, 32, n)) for n in cells),
                writer.add(floats(1, 22, 4)),
                writer.add(floats(1, 2, 22)),
                writer.add(floats(3, 6), whole=True),
            ),
            probes={"NMS/ties": writer.add(floats(2, 6), whole=True)},
            tensors=writer.tensors,
        )
        return _written(lambda path: writer.write(path, index), "x.safetensors")


def _batch() -> TrainingBatch:
    valid = np.array([[True, True], [True, False]])
    boxes = np.tile(np.array([2, 3, 20, 25], np.float32), (2, 2, 1)) * valid[..., None]
    classes = np.array([[0, 2], [1, 0]])
    images = np.zeros((2, 3, 32, 32), np.float32)
    return TrainingBatch(images, GroundTruth(boxes.astype(np.float32), classes, valid))


def training_recording(samples: int = 0) -> bytes:
    batch = _batch()
    random = np.random.RandomState(0)
    tensors = {}
    for name, shape in {"conv.weight": (2, 3, 1, 1), "norm.bias": (2,), "scalar": ()}.items():
        array = random.normal(size=shape)
        tensors[name] = tensor_digest(array, npz_file.sample_indices(array.size, samples))
    run = TrainingRun(
        name="x",
        epoch=0,
        lr=0.1,
        boxes=batch.boxes,
        losses=(dict.fromkeys(TERMS, 0.5),) * 2,
        assignment=RecordedAssignment(
            np.array([0, 1]), np.array([0, 21]), np.array([1, 0]), np.array([0.5, 0.25])
        ),
        gradients=tensors,
        statistics=tensors,
    )
    whole = TrainingRecording(
        file="x.pdparams",
        sha256="0" * 64,
        versions={"numpy": "2"},
        precision="float64",
        weights={"conv.weight": "ab"},
        images=batch.images,
        runs=(run, replace(run, assignment=None, statistics=None)),
        rates=LearningRates(10, np.arange(3), np.array([0.1, 0.2, 0.3])),
    )
    return _written(lambda path: npz_file.write(whole, samples, path), "x.npz")


def batch() -> bytes:
    images, boxes = _batch()
    buffer = io.BytesIO()
    np.savez(buffer, images=images, **boxes._asdict())
    return buffer.getvalue()


def array() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.zeros((1, 3, 32, 32), np.float32))
    return buffer.getvalue()


def progress() -> bytes:
    rows, sums = [np.array([[4, 1, 0.5, 1, 2, 3, 4]])], [each for _, each in SUMS.values()]
    return _written(
        lambda path: write_progress(path, RUN_SETTINGS, list(SUMS), rows, sums), "x.npz"
    )


def state() -> bytes:
    tensors = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.count": torch.tensor(7)}
    whole = checkpoints.Checkpoint(
        checkpoints.Progress(2, 3, 40, checkpoints.Best(0.25, 1)),
        dict.fromkeys(checkpoints.PARTS, tensors),
        {"updates": 40, "scale": None},
        {"seed": 0, "recipe": {"epochs": 3}},
    )
    with TemporaryDirectory() as folder:
        return checkpoints.save(Path(folder), whole, keep=1).read_bytes()


def _written(write: Callable[[Path], object], name: str) -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder) / name
        write(path)
        return path.read_bytes()


def training_reindexed(archive: bytes, index: bytes) -> bytes:
    """An .npz with another index in it."""
    with np.load(io.BytesIO(archive)) as stored:
        arrays = dict(stored)
    arrays[npz_file.INDEX_KEY] = np.frombuffer(index, np.uint8)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def training_index_in(archive: bytes) -> bytes:
    """The index in an .npz."""
    with np.load(io.BytesIO(archive)) as stored:
        return bytes(stored[npz_file.INDEX_KEY].tobytes())


def layout_settings() -> bytes:
    """All keys of PaddleX's YAML."""
    return b"""
threshold: {text: 0.4, 8: 0.5}
layout_nms: true
layout_unclip_ratio: [1.0, 1.5]
layout_merge_bboxes_mode: {0: large, "*": small}
"""


def voc() -> bytes:
    """An XML of Pascal VOC with two objects."""
    objects = voc_object("cat", 1, 1, 30, 20), voc_object("dog", 2.5, 3, 7, 9, difficult=1)
    return voc_xml(30, 20, *objects).encode()


def labels() -> bytes:
    """A file of labels of YOLO: a box and a polygon."""
    return b"0 0.5 0.5 0.25 0.5\n1 0.1 0.2 0.3 0.1 0.2 0.6\n"


def data_yaml() -> bytes:
    """A data.yaml whose images are its own folder."""
    return b"path: .\ntrain: .\nval: [., ../]\nnc: 2\nnames: {0: cat, 1: dog}\n"


def read_xml(path: Path) -> None:
    """As a dataset of one image is read."""
    problems = Problems(path)
    try:
        image = read_voc_xml(path, lambda problem: problems.add("x.xml", problem))
    except ValueError as error:
        raise PicoDetError(f"{path}: {error}") from error
    for each in image.objects:
        clip(each.corners, image.size or (20, 30))
    problems.finish()


def read_label_file(path: Path) -> None:
    """As a dataset of one image is read."""
    problems = Problems(path)
    try:
        read_labels(path, 2, lambda line, problem: problems.add(f"x.txt:{line}", problem))
    except ValueError as error:
        raise PicoDetError(f"{path}: {error}") from error
    problems.finish()


def tar() -> bytes:
    """An archive of an inference folder, with an extended header."""
    files = {f"x_infer/{'a' * 120}.json": b"{}", "x_infer/inference.pdiparams": b"x" * 600}
    entries = [tar_files.entry(name, content) for name, content in files.items()]
    return tar_files.archive(*entries, form=PAX_FORMAT)


# by form: file name, writer, reader
MORE: Mapping[str, tuple[str, Callable[[], bytes], Callable[[Path], object]]] = {
    "tar": ("x.tar", tar, read_members),
    "recording": ("x.safetensors", recording, read_recording),
    "summary": ("x.safetensors", lambda: recording(2), read_recording),
    "training recording": ("x.npz", training_recording, npz_file.read),
    "training summary": ("x.npz", lambda: training_recording(1), npz_file.read),
    "batch": ("x.npz", batch, lambda path: read_batch(path, 3)),
    "array": ("x.npy", array, read_array),
    "annotations": ("x.json", annotations, read_annotations),
    "results": ("x.json", results, read_predictions),
    "packed results": ("x.json.gz", packed_results, read_predictions),
    "progress": ("x.npz", progress, lambda path: read_progress(path, RUN_SETTINGS, SUMS)),
    "state": ("x.safetensors", state, checkpoints.load),
    "voc": ("x.xml", voc, read_xml),
    "labels": ("x.txt", labels, read_label_file),
    "data.yaml": ("data.yaml", data_yaml, read_data_yaml),
    "layout settings": (
        *("x.yml", layout_settings),
        lambda path: options_from_text((), None, (), (), path),
    ),
}
