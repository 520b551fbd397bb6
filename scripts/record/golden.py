"""Records the outputs of PaddleDetection that the tests compare picodet with.

    make reference

sets up an environment with paddlepaddle and ppdet, and without torch, in .venv-paddle, and runs
this there. It makes again, byte for byte,

- tests/golden/layers.npz: of every layer of every official config (of those that
  differ in names only, of one) two samples, the greatest
  magnitude and the mean, in float64, and of the scores and the boxes 32 samples; weights and inputs
  are seeded (scripts/fixtures/seeded.py) and not recorded;
- tests/golden/counts.json: the numbers of tensors and learnable parameters of ppdet's models;
- tests/golden/picodet_s_416_float64.safetensors: a summary as `picodet-align record` writes it;
- tests/golden/preprocess.json: SHA-256 of scikit-image's images, preprocessed;
- picodet/alignment/recording/probes.npz: ppdet's answers to picodet/alignment/recording/probes.py.
"""

import hashlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import paddle
import skimage

from picodet.alignment.paddle_side import main as paddle_main
from picodet.alignment.paddle_side import model, recorder
from picodet.alignment.recording import probes
from picodet.alignment.recording.index import content_key
from picodet.alignment.reference.request import SUMMARY_SAMPLES, RecordRequest
from picodet.config import ModelConfig, Preprocessing
from picodet.data.resize_kernels import use_kernels
from picodet.zoo.official import CONFIGS
from scripts.fixtures import seeded

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden"


def seeded_detector(config: ModelConfig) -> paddle.nn.Layer:
    """ppdet's detector in float64, filled with seeded weights."""
    detector = model.build(config)
    shapes = {name: tuple(value.shape) for name, value in detector.state_dict().items()}
    model.load_weights(detector, seeded.checkpoint(shapes))
    model.convert_to_float64(detector)
    return detector


def record(detector: paddle.nn.Layer, config: ModelConfig) -> dict[str, np.ndarray]:
    """Digests of every layer's outputs, in the order of the calls, and of scores and boxes."""
    names: list[str] = []
    digests: list[np.ndarray] = []

    def hook(name: str) -> Any:
        def keep(_: Any, __: Any, output: Any) -> None:
            for array in recorder.unique_arrays(output):
                names.append(name)
                digests.append(seeded.digest(array, seeded.LAYER_SAMPLES))

        return keep

    for name, layer in recorder.named_layers(detector).items():
        layer.register_forward_post_hook(hook(name))
    with paddle.no_grad():
        image = paddle.to_tensor(seeded.images(*config.input_size).astype("f8"))
        outputs = detector.head(detector.neck(detector.backbone({"image": image})))
    scores_boxes = [seeded.digest(tensor.numpy(), seeded.OUTPUT_SAMPLES) for tensor in outputs]
    return {
        f"{config.name}/layers": np.stack(digests),
        f"{config.name}/ending": np.stack(scores_boxes),
        # the same for all sizes and classes
        f"names/{seeded.architecture(config)}": np.array("\n".join(names).encode()),
    }


def counts(detector: paddle.nn.Layer) -> dict[str, int]:
    """The numbers of tensors in a checkpoint and of learnable parameters."""
    learnable = (p for p in detector.parameters() if not p.stop_gradient)
    return {
        "tensors": len(detector.state_dict()),
        "parameters": sum(int(np.prod(parameter.shape)) for parameter in learnable),
    }


def preprocessing_digests() -> dict[str, Any]:
    """SHA-256 of scikit-image's images after ppdet's transforms."""
    digests = {}
    for image_name in ("chelsea.png", "rocket.jpg"):
        path = Path(skimage.__file__).parent / "data" / image_name
        for size in ((416, 416), (192, 320)):
            for interp in range(5):
                preprocessing = Preprocessing(interp=interp)
                steps, scale_factor = recorder.preprocess(path, size, preprocessing)
                digests[f"{image_name} {size[0]}x{size[1]} {interp}"] = {
                    "sha256": hashlib.sha256(steps["normalise"].tobytes()).hexdigest(),
                    "scale_factor": scale_factor.tolist(),
                }
    return digests


def record_summary(name: str, out: Path) -> None:
    """Write a summary in float64 of an official config with seeded weights."""
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder) / f"{name}.pdparams"
        state = model.build(CONFIGS[name]).state_dict()
        shapes = {key: tuple(value.shape) for key, value in state.items()}
        seeded.write(seeded.checkpoint(shapes), checkpoint)
        request = RecordRequest(checkpoint, out, probes.IMAGE, None, None, True, SUMMARY_SAMPLES)
        # so that every machine makes the same file
        with patch.object(paddle_main, "cpu", return_value="any"), use_kernels("portable"):
            paddle_main.record_ppdet(request, lambda done, total: None)


def main() -> None:
    """Write all files listed above."""
    recorded: dict[str, np.ndarray] = {}
    counted = {}
    for config in seeded.RECORDED_CONFIGS.values():
        detector = seeded_detector(config)
        counted[config.name] = counts(detector)
        recorded |= record(detector, config)
    for config in CONFIGS.values():  # of those that differ from a recorded one in names only
        if config.name not in counted:
            counted[config.name] = counts(model.build(config))
    np.savez_compressed(GOLDEN / "layers.npz", allow_pickle=False, **recorded)
    (GOLDEN / "counts.json").write_text(json.dumps(counted, indent=1) + "\n")
    record_summary("picodet_s_416_coco", GOLDEN / "picodet_s_416_float64.safetensors")
    with use_kernels("portable"):
        answers = recorder.answer_probes(model.build_nms())
    image_answers = [name for name in answers if name.startswith(probes.IMAGE_PREFIX)]
    keys = {name: np.array(content_key(answers[name])) for name in image_answers}
    np.savez(probes.RECORDED_ANSWERS, allow_pickle=False, **(answers | keys))
    with use_kernels("portable"):
        content = {"made_by": "tools/record_golden.py", **preprocessing_digests()}
    (GOLDEN / "preprocess.json").write_text(json.dumps(content, indent=1) + "\n")
    sys.stdout.write("recorded\n")


if __name__ == "__main__":
    main()
