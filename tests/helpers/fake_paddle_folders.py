"""Inference folders of programs that the fake Paddle of fake_paddle/ runs."""

import json

HEADS = [(1, cells, 2) for cells in (64, 16, 4, 1)]  # of an image of 64 x 64, two classes
REG = [(1, cells, 32) for cells in (64, 16, 4, 1)]
CONFIG = """\
Preprocess:
- {type: Resize, interp: 1, keep_ratio: false, target_size: [64, 64]}
- {type: NormalizeImage, is_scale: true, mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25]}
- {type: Permute}
label_list: [cat, dog]
"""


def make_folder(path, outputs, inputs=("image",), config=CONFIG, **more):
    """Write a folder. outputs: a list of (name, shape, value)."""
    path.mkdir()
    program = {"inputs": list(inputs), "outputs": outputs, **more}
    (path / "model.json").write_text(json.dumps(program))
    (path / "model.pdiparams").write_bytes(b"")
    if config:
        (path / "infer_cfg.yml").write_text(config)
    return path


def heads(score=0.5, reg=0.0):
    return [(f"score{i}", shape, score) for i, shape in enumerate(HEADS)] + [
        (f"side{i}", shape, reg) for i, shape in enumerate(REG)
    ]
