"""Records the tensors of LibreYOLO's PicoDet-S, and what it computes with seeded values.

    python3 -m venv build/libreyolo && build/libreyolo/bin/pip install --no-deps libreyolo==1.6.0 \
        && build/libreyolo/bin/pip install torch==2.13.0 numpy
    PYTHONPATH=. build/libreyolo/bin/python -m scripts.record.libreyolo

makes tests/golden/libreyolo.json. The gates of squeeze-and-excitation are cut at 1, as PicoDet's
are: LibreYOLO cuts them at 6.
"""

import importlib.util
import json
from importlib.metadata import distribution
from pathlib import Path

import torch

from scripts.fixtures.named_values import image_values, named_values

OUTPUT = Path(__file__).parents[2] / "tests" / "golden" / "libreyolo.json"
NETWORK = "libreyolo/models/picodet/nn.py"  # the package itself imports much that is not needed
CLASSES = 3
SIDE = 64


def main() -> None:
    """Record names, shapes and outputs."""
    path = distribution("libreyolo").locate_file(NETWORK)
    spec = importlib.util.spec_from_file_location("libreyolo_picodet", str(path))
    if spec is None or spec.loader is None:
        raise SystemExit(f"{path}: not a module; expected libreyolo's network")
    network = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(network)
    model = network.LibrePICODETModel("s", CLASSES).eval()
    shapes = {name: list(tensor.shape) for name, tensor in model.state_dict().items()}
    model.load_state_dict({n: torch.from_numpy(named_values(n, s)) for n, s in shapes.items()})
    for layer in model.modules():
        if isinstance(layer, network.HSigmoid):
            layer.max_value = 1.0
    with torch.no_grad():
        scores, reg = model(torch.from_numpy(image_values(SIDE)))
    outputs = {"logits": scores, "reg": reg}
    recorded = {
        "libreyolo": distribution("libreyolo").version,
        "tensors": shapes,
        **{name: [m.ravel()[:8].tolist() for m in maps] for name, maps in outputs.items()},
    }
    OUTPUT.write_text(json.dumps(recorded, indent=0) + "\n")


if __name__ == "__main__":
    main()
