"""Names files of other programs, which people give in place of a model's weights."""

from pathlib import Path

from picodet.files import regular_file

LITE = "a model of Paddle-Lite"
RKNN = "an RKNN model, compiled for Rockchip's chips"
TENSORRT = "a TensorRT engine, compiled for one GPU"
OPENVINO = "a model of OpenVINO (IR)"
NCNN = "a model of ncnn"
MNN = "a model of MNN"
TFLITE = "a TensorFlow Lite model"
GZIP = "a compressed archive"
BY_SUFFIX = {
    **{".nb": LITE, ".rknn": RKNN, ".mnn": MNN, ".tflite": TFLITE, ".xml": OPENVINO},
    **{".engine": TENSORRT, ".plan": TENSORRT, ".trt": TENSORRT, ".param": NCNN},
}
# where the bytes begin; formats of which no such bytes are known are told by the suffix alone
BY_BYTES = (
    (0, b"RKNN", RKNN),
    (0, b"ftrt", TENSORRT),
    (0, b"7767517", NCNN),
    (4, b"TFL3", TFLITE),
    (0, b"\x1f\x8b", GZIP),
)
PARTS = (".xml", ".param")  # a .bin beside one of these has its weights


def foreign_format(path: Path) -> str | None:
    """The format of a file that another program wrote, such as "a model of ncnn"; else None."""
    try:
        with regular_file(path).open("rb") as file:
            first = file.read(16)
    except OSError:  # who reads the file says why
        return None
    for start, expected, name in BY_BYTES:
        if first[start : start + len(expected)] == expected:
            return name
    if path.suffix == ".bin":
        beside = (path.with_suffix(suffix) for suffix in PARTS)
        return next((BY_SUFFIX[part.suffix] for part in beside if part.is_file()), None)
    return BY_SUFFIX.get(path.suffix.lower())
