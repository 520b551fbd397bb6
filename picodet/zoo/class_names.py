"""Class names of the datasets that official models were trained on, in the order of the classes.

The order is that of the sorted category ids of the annotation file, which is the order of the
channels of the head: ppdet/data/source/coco.py:104 and ppdet/data/source/voc.py.
"""

from collections.abc import Mapping
from pathlib import Path

from picodet.errors import PicoDetError
from picodet.files import regular_file


def read_class_names(path: Path) -> tuple[str, ...]:
    """Read one name per line; empty lines at the end are ignored.

    Raises PicoDetError where the file cannot be read, or a name is empty or occurs twice.
    """
    try:
        names = regular_file(path).read_text(encoding="utf-8-sig").rstrip().splitlines()
    except OSError as error:
        raise PicoDetError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise PicoDetError(f"{path}: not UTF-8 text; expected one class name per line") from error
    if not all(name.strip() for name in names) or len(set(names)) != len(names) or not names:
        raise PicoDetError(f"{path}: an empty or repeated name; expected one class name per line")
    return tuple(name.strip() for name in names)


def class_names_in_metadata(metadata: Mapping[str, str]) -> tuple[str, ...] | None:
    """Class names in the metadata of an ONNX, one per line, as PaddleX and RapidAI write them."""
    names = tuple(metadata.get("character", "").strip().splitlines())
    return names or None


def default_class_names(count: int) -> tuple[str, ...]:
    """Names for classes that have none: their numbers."""
    return tuple(f"class {i}" for i in range(count))


def known_class_names(names: tuple[str, ...] | None, count: int) -> tuple[str, ...] | None:
    """The names if there is one for each class and they are not just numbers, else None."""
    known = names is not None and len(names) == count and names != default_class_names(count)
    return names if known else None


# fmt: off
COCO = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat",
    "traffic light", "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog",
    "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe", "backpack", "umbrella",
    "handbag", "tie", "suitcase", "frisbee", "skis", "snowboard", "sports ball", "kite",
    "baseball bat", "baseball glove", "skateboard", "surfboard", "tennis racket", "bottle",
    "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple", "sandwich", "orange",
    "broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch", "potted plant",
    "bed", "dining table", "toilet", "tv", "laptop", "mouse", "remote", "keyboard", "cell phone",
    "microwave", "oven", "toaster", "sink", "refrigerator", "book", "clock", "vase", "scissors",
    "teddy bear", "hair drier", "toothbrush",
)

# document layout: PubLayNet, and CDLA (Chinese), as PaddleOCR's ppocr/utils/dict/layout_dict
PUBLAYNET = ("text", "title", "list", "table", "figure")

CDLA = (
    "text", "title", "figure", "figure_caption", "table", "table_caption", "header", "footer",
    "reference", "equation",
)

# document layout of PaddleX: official_categories.py of the paddlex wheel 3.7.2
DOC_LAYOUT_17 = (
    "paragraph_title", "image", "text", "number", "abstract", "content", "figure_title", "formula",
    "table", "table_title", "reference", "doc_title", "footnote", "header", "algorithm", "footer",
    "seal",
)

DOC_LAYOUT_23 = (
    *DOC_LAYOUT_17,
    "chart_title", "chart", "formula_number", "header_image", "footer_image", "aside_text",
)

VOC = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train",
    "tvmonitor",
)
# fmt: on

# by the names that models.csv uses
LISTS = {
    "CDLA": CDLA,
    "COCO": COCO,
    "DOC_LAYOUT_17": DOC_LAYOUT_17,
    "DOC_LAYOUT_23": DOC_LAYOUT_23,
    "PUBLAYNET": PUBLAYNET,
    "VOC": VOC,
}
