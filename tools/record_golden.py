"""Record from the real PaddleDetection what the tests hold ours against.

    make reference

sets up an environment with paddlepaddle and ppdet, and without torch, in .venv-paddle, and runs
this there. It makes again, byte for byte,

- tests/golden/picodet_*.npz: of every layer 16 samples and the greatest magnitude in float64, the
  scores and the boxes whole; weights and inputs are seeded (tools/seeded.py) and not recorded;
- tests/golden/picodet_s_416_float64.safetensors: a summary as `picodet-align record` writes it;
- tests/golden/preprocess.json: SHA-256 of scikit-image's pictures, preprocessed;
- picodet/alignment/probes.npz: ppdet's answers to picodet/alignment/probes.py.
"""

import hashlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import seeded
import skimage

from picodet.alignment import paddle_main, ppdet_model, ppdet_recorder, probes
from picodet.alignment.index import content_key
from picodet.alignment.order import SAMPLES as SUMMARY_SAMPLES
from picodet.alignment.order import Order
from picodet.config import CONFIGS, ModelConfig, Preprocessing

ROOT = Path(__file__).parent.parent
GOLDEN = ROOT / "tests" / "golden"
SAMPLES = 16


def filled(config: ModelConfig) -> paddle.nn.Layer:
    """ppdet's detector in float64, filled with seeded weights."""
    detector = ppdet_model.build(config)
    shapes = {name: tuple(value.shape) for name, value in detector.state_dict().items()}
    ppdet_model.fill(detector, seeded.checkpoint(shapes))
    ppdet_model.in_float64(detector)
    return detector


def record(detector: paddle.nn.Layer, images: np.ndarray) -> dict[str, Any]:
    """Samples of every layer's outputs in the order of the calls; scores and boxes whole."""
    names: list[str] = []
    samples: list[np.ndarray] = []
    scales: list[float] = []

    def hook(name: str) -> Any:
        def keep(_: Any, __: Any, output: Any) -> None:
            for array in ppdet_recorder.arrays(output):
                flat = array.ravel()
                names.append(name)
                samples.append(flat[np.linspace(0, flat.size - 1, SAMPLES).astype(int)])
                scales.append(np.abs(flat).max())

        return keep

    for name, layer in detector.named_sublayers():
        layer.register_forward_post_hook(hook(name))
    with paddle.no_grad():
        image = paddle.to_tensor(images.astype("f8"))
        scores, boxes = detector.head(detector.neck(detector.backbone({"image": image})))
    return {
        "names": np.array(names),
        "samples": np.stack(samples),
        "scales": np.array(scales),
        "scores": scores.numpy()[0],
        "boxes": boxes.numpy()[0],
    }


def preprocessed() -> dict[str, Any]:
    """SHA-256 of what ppdet's transforms make of scikit-image's pictures."""
    digests = {}
    for picture in ("chelsea.png", "rocket.jpg"):
        path = Path(skimage.__file__).parent / "data" / picture
        for size in ((416, 416), (192, 320)):
            for interp in range(5):
                numbers = Preprocessing(interp=interp)
                steps, scale_factor = ppdet_recorder.preprocess(path, size, numbers)
                digests[f"{picture} {size[0]}x{size[1]} {interp}"] = {
                    "sha256": hashlib.sha256(steps["normalise"].tobytes()).hexdigest(),
                    "scale_factor": scale_factor.tolist(),
                }
    return digests


def summarise(name: str, out: Path) -> None:
    """A summary in float64 of an official config, filled with seeded weights."""
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder) / f"{name}.pdparams"
        state = ppdet_model.build(CONFIGS[name]).state_dict()
        shapes = {key: tuple(value.shape) for key, value in state.items()}
        seeded.write(seeded.checkpoint(shapes), checkpoint)
        order = Order(checkpoint, out, probes.PICTURE, None, None, True, SUMMARY_SAMPLES)
        paddle_main.record_ppdet(order)


def main() -> None:
    """Write everything that is listed above."""
    for name, config in seeded.RECORDED.items():
        recorded = record(filled(config), seeded.images(*config.input_size))
        np.savez(GOLDEN / f"{name}.npz", **recorded)
    summarise("picodet_s_416_coco", GOLDEN / "picodet_s_416_float64.safetensors")
    answers = ppdet_recorder.answer_probes(ppdet_model.nms())
    pictures = [name for name in answers if name.startswith(probes.PICTURES)]
    keys = {name: np.array(content_key(answers[name])) for name in pictures}
    np.savez(probes.RECORDED, allow_pickle=False, **(answers | keys))
    content = {"made_by": "tools/record_golden.py", **preprocessed()}
    (GOLDEN / "preprocess.json").write_text(json.dumps(content, indent=1) + "\n")
    sys.stdout.write("recorded\n")


if __name__ == "__main__":
    main()
