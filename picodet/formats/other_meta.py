"""What other programs store beside their weights: class names and input sizes."""

from typing import Any

from picodet.config import check_input_size


def mmdet_class_names(meta: dict[Any, Any]) -> tuple[str, ...] | None:
    """The class names in the meta of mmdet 2 or 3."""
    dataset = meta.get("dataset_meta")
    names = (dataset if isinstance(dataset, dict) else {}).get("classes", meta.get("CLASSES"))
    listed = isinstance(names, list | tuple) and all(isinstance(name, str) for name in names)
    return tuple(names) if listed and names else None


def yolo_class_names(names: Any) -> tuple[str, ...] | None:
    """The class names of YOLO's checkpoints: a list, or a dictionary by number."""
    if isinstance(names, dict) and names.keys() == set(range(len(names))):
        names = [names[i] for i in range(len(names))]
    listed = isinstance(names, list) and all(isinstance(name, str) for name in names)
    return tuple(names) if listed and names else None


def yolo_input_size(side: Any) -> tuple[int, int] | None:
    """The side of a square input, if it is one that PicoDet takes."""
    try:
        check_input_size((side, side))
    except (TypeError, ValueError):
        return None
    return side, side
