"""Measures the images per second of ppdet's TrainReader, with the legacy 416 reader.

    PYTHON benchmarks/baselines/ppdet_loader.py IMAGES ANNOTATIONS.json BATCHES BATCH WORKERS

PYTHON has paddlepaddle and ppdet (`make reference`). The transforms are those of
configs/picodet/legacy_model/_base_/picodet_416_reader.yml. Prints one number. The first batches are
not timed, nor is the start of the processes.
"""

import argparse
import logging
import time
from pathlib import Path

import paddle
from ppdet.data.reader import TrainReader
from ppdet.data.source.coco import COCODataSet

WARMUP_BATCHES = 6  # batches
SAMPLE = [
    {"Decode": {}},
    {"RandomCrop": {}},
    {"RandomFlip": {"prob": 0.5}},
    {"RandomDistort": {}},
]
BATCH = [
    {
        "BatchRandomResize": {
            "target_size": [352, 384, 416, 448, 480],
            "random_size": True,
            "random_interp": True,
            "keep_ratio": False,
        }
    },
    {
        "NormalizeImage": {
            "is_scale": True,
            "mean": [0.485, 0.456, 0.406],
            "std": [0.229, 0.224, 0.225],
        }
    },
    {"Permute": {}},
]


def main() -> None:
    """Read the batches and print images per second."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("images", type=Path)
    parser.add_argument("annotations", type=Path)
    parser.add_argument("batches", type=int)
    parser.add_argument("batch", type=int)
    parser.add_argument("workers", type=int)
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    paddle.device.set_device("cpu")
    dataset = COCODataSet(
        dataset_dir="",
        image_dir=str(arguments.images),
        anno_path=str(arguments.annotations),
        data_fields=["image", "gt_bbox", "gt_class", "is_crowd"],
    )
    dataset.check_or_download_dataset = lambda: None
    dataset.repeat = 1000  # so that the workers are started only once
    reader = TrainReader(SAMPLE, BATCH, batch_size=arguments.batch, collate_batch=False)
    loader = reader(dataset, arguments.workers)
    start = 0.0
    for number, _ in enumerate(loader, 1):
        if number == WARMUP_BATCHES:
            start = time.perf_counter()
        if number == WARMUP_BATCHES + arguments.batches:
            break
    print(arguments.batches * arguments.batch / (time.perf_counter() - start))


if __name__ == "__main__":
    main()
