"""The small models whose training by ppdet is recorded in tests/golden; weights are seeded."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import seeded

from picodet.config import ModelConfig
from picodet.variants import XS_LCNET, S

if TYPE_CHECKING:  # the recorder has no torch
    from picodet.alignment.training_ours import Ours
    from picodet.alignment.training_recording import TrainingRecording

GOLDEN = Path(__file__).parent.parent / "tests" / "golden"
CLASSES = ("a", "b", "c")
# ATSS of ppdet wants nine cells on each level. At these sizes a cell has a side beyond the last
# bin, and some lie between the two deviations that ATSS could mean
TRAINED: dict[str, ModelConfig] = {
    "training_2021": replace(S, classes=CLASSES, input_size=(96, 224)),
    "training_2022": replace(XS_LCNET, classes=CLASSES, input_size=(224, 320)),
}


def recorded(name: str) -> "TrainingRecording":
    """What ppdet made of it."""
    from picodet.alignment import training_file  # noqa: PLC0415

    return training_file.read(GOLDEN / f"{name}.npz")


def ours(name: str) -> "Ours":
    """Our training of the same weights."""
    import torch  # noqa: PLC0415

    from picodet.alignment.training_ours import Ours  # noqa: PLC0415
    from picodet.alignment.training_recipe import recipe_of  # noqa: PLC0415
    from picodet.converter.convert import convert  # noqa: PLC0415
    from picodet.converter.name_tables import name_table  # noqa: PLC0415
    from picodet.models.picodet import PicoDet  # noqa: PLC0415

    config = TRAINED[name]
    model = PicoDet(config).eval()
    shapes = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    table = name_table(config.backbone, config.neck, config.head)
    arrays = seeded.checkpoint(seeded.shapes(config))
    weights = convert(arrays, shapes, table, config.input_size).weights
    model.load_state_dict({key: torch.from_numpy(value) for key, value in weights.items()})
    return Ours(model, recipe_of(config))
