"""Copies the 400 images of COCO val2017 that the project's numbers are measured on.

    python scripts/make_coco_subset.py COCO OUT

COCO is a folder with val2017 and annotations/instances_val2017.json, from
https://cocodataset.org/#download. OUT gets val2017 and instances_val400.json, for
`picodet-eval --coco OUT`. The ids of the images are in coco_val400_ids.txt; neither images nor
annotations are part of this project.
"""

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

IDS = Path(__file__).with_name("coco_val400_ids.txt")
IMAGES = "val2017"
ANNOTATIONS = "annotations/instances_val2017.json"


def read_ids(path: Path = IDS) -> list[int]:
    """Image ids, separated by white space."""
    return [int(word) for word in path.read_text().split()]


def select(content: dict[str, Any], ids: Sequence[int]) -> dict[str, Any]:
    """The content of an annotation file for these images only; all categories stay.

    Raises ValueError where an image is not in it.
    """
    wanted = set(ids)
    images = [row for row in content["images"] if row["id"] in wanted]
    missing = sorted(wanted - {row["id"] for row in images})
    if missing:
        raise ValueError(
            f"{len(missing)} of {len(wanted)} images are not in the annotation file, first "
            f"{missing[0]}; expected COCO's instances_val2017.json"
        )
    rows = [row for row in content["annotations"] if row["image_id"] in wanted]
    return {**content, "images": images, "annotations": rows}


def make(coco: Path, out: Path, ids: Sequence[int]) -> tuple[int, int]:
    """Write the folder and return its numbers of images and boxes.

    Raises FileExistsError where `out` exists, OSError or ValueError where COCO is incomplete.
    """
    content = select(json.loads((coco / ANNOTATIONS).read_text()), ids)
    (out / IMAGES).mkdir(parents=True)
    for row in content["images"]:
        shutil.copyfile(coco / IMAGES / row["file_name"], out / IMAGES / row["file_name"])
    (out / f"instances_val{len(ids)}.json").write_text(json.dumps(content))
    return len(content["images"]), len(content["annotations"])


def main() -> int:
    """Run the command and return its exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("coco", type=Path, help="folder with val2017 and annotations")
    parser.add_argument("out", type=Path, help="folder to write")
    options = parser.parse_args()
    try:
        images, boxes = make(options.coco, options.out, read_ids())
    except (OSError, ValueError) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    print(f"{images} images, {boxes:,} boxes in {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
