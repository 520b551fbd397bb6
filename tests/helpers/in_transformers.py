"""What Hugging Face's transformers does with directories; a program for its own environment.

python in_transformers.py DIRECTORY.. > ANSWERS.json

The images are the PNGs beside each directory. There `saved` and `changed` are written.
"""

import contextlib
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import AutoImageProcessor, AutoModelForObjectDetection, pipeline

import picodet
from picodet.errors import PicoDetError


def load(folder, **options):
    return AutoModelForObjectDetection.from_pretrained(folder, trust_remote_code=True, **options)


def load_processor(folder, **options):
    return AutoImageProcessor.from_pretrained(folder, trust_remote_code=True, **options)


def as_lists(found):
    return {name: values.tolist() for name, values in found.items()}


def changed(folder, file, **changes):
    """A copy of the directory with other content in one of its JSON files."""
    copy = folder.with_name("changed")
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(folder, copy)
    content = json.loads((copy / file).read_text())
    (copy / file).write_text(json.dumps(content | changes))
    return copy


def without_a_tensor(folder):
    copy = changed(folder, "config.json")
    tensors = load_file(copy / "model.safetensors")
    tensors["x"] = tensors.pop("head.integral.project")
    save_file(tensors, copy / "model.safetensors", {"format": "pt"})
    return copy


def message_of(action):
    try:
        action()
    except PicoDetError as error:
        return str(error)
    return None


def answers(folder):
    paths = sorted(folder.parent.glob("*.png"))
    model, processor = load(folder), load_processor(folder)
    images = [Image.open(path) for path in paths]
    sizes = [(image.height, image.width) for image in images]
    post_process = processor.post_process_object_detection
    inputs = processor(images=images, return_tensors="pt")
    with torch.no_grad():
        outputs = model(**inputs)
        one_by_one = [model(**processor(images=image, return_tensors="pt")) for image in images]
    own = picodet.load(folder)
    detector = pipeline("object-detection", model=folder, trust_remote_code=True)
    saved = folder.with_name("saved")
    model.save_pretrained(saved)
    processor.save_pretrained(saved)
    arrays = [np.asarray(image.convert("RGB")) for image in images]
    forms = [
        processor(images=[str(path) for path in paths]),
        processor(images=arrays),
        processor(images=[torch.from_numpy(array).permute(2, 0, 1) for array in arrays]),
    ]
    return {
        "found": [
            as_lists(post_process(output, 0.01, [size])[0])
            for output, size in zip(one_by_one, sizes, strict=True)
        ],
        "batch": [as_lists(each) for each in post_process(outputs, 0.01, torch.tensor(sizes))],
        "detect": [vars_of(picodet.detect(own, path, score_thr=0.01)) for path in paths],
        "in_input_pixels": as_lists(post_process(outputs, 0.01)[0]),
        "pipeline": detector([str(path) for path in paths], threshold=0.01),
        "pipeline_saved": pipeline("object-detection", model=saved, trust_remote_code=True)(
            [str(path) for path in paths], threshold=0.01
        ),
        "bfloat16": str(
            load(folder, dtype=torch.bfloat16)(inputs.pixel_values.to(torch.bfloat16)).boxes.dtype
        ),
        "same_forms": [
            bool(np.array_equal(form.pixel_values, inputs.pixel_values)) for form in forms
        ],
        "resized": list(
            load_processor(folder, size={"height": 64, "width": 160})(images[0])
            .pixel_values[0]
            .shape
        ),
        "errors": errors(folder, model, processor, outputs, images[0]),
    }


def vars_of(found):
    return {
        "scores": found.scores.tolist(),
        "labels": found.classes.tolist(),
        "boxes": found.boxes.tolist(),
    }


def errors(folder, model, processor, outputs, image):
    tensor = torch.zeros(1, 3, 64, 64)
    post_process = processor.post_process_object_detection
    return [
        message_of(action)
        for action in (
            lambda: model(tensor, labels=[]),
            lambda: model(tensor[0]),
            lambda: model(torch.zeros(1, 3, 64, 65)),
            lambda: processor(images=np.zeros((4, 4, 3), np.float32)),
            lambda: processor(images=image.convert("F")),
            lambda: processor(images=[]),
            lambda: processor(images=image, do_resize=False),
            lambda: post_process(outputs, 2),
            lambda: post_process(outputs, target_sizes=[(3, 4)]),
            lambda: load_processor(changed(folder, "preprocessor_config.json", resample=0))(image),
            lambda: load_processor(folder, do_normalize=False)(image),
            lambda: load(changed(folder, "config.json", id2label={0: "a", 2: "b"})),
            lambda: load(without_a_tensor(folder)),
        )
    ]


if __name__ == "__main__":
    with contextlib.redirect_stdout(sys.stderr):
        content = [answers(Path(folder)) for folder in sys.argv[1:]]
    sys.stdout.write(json.dumps(content))
