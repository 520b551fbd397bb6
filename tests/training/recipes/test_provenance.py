"""Sources of the numbers of recipes."""

import re

import pytest

from picodet.training.recipes.limits import leaves
from picodet.training.recipes.official import RECIPES
from picodet.training.recipes.provenance import OWN, sources
from picodet.zoo.official import OFFICIAL

ITSELF = {official.config.name: official.path for official in OFFICIAL}
OLD = "configs/picodet/legacy_model/_base_/"
NEW = "configs/picodet/_base_/"
IN_THE_BASES = {  # what the files of _base_ say
    f"{OLD}optimizer_300e.yml": {
        **{"schedule.base_lr": 0.4, "schedule.epochs": 300, "schedule.decay_epochs": 300},
        **{"schedule.warmup": "linear", "schedule.warmup_steps": 300},
        **{"schedule.warmup_factor": 0.1},
        **{"optimizer.momentum": 0.9, "optimizer.weight_decay": 4e-5},
    },
    f"{OLD}optimizer_100e.yml": {
        **{"schedule.base_lr": 0.4, "schedule.epochs": 100, "schedule.decay_epochs": 100},
        **{"schedule.warmup": "linear", "schedule.warmup_steps": 300},
        **{"schedule.warmup_factor": 0.1},
        **{"optimizer.momentum": 0.9, "optimizer.weight_decay": 4e-5},
    },
    f"{NEW}optimizer_300e.yml": {"optimizer.momentum": 0.9, "optimizer.weight_decay": 4e-5},
    f"{OLD}picodet_320_reader.yml": {"batches.per_gpu": 128, "augmentation.flip": 0.5},
    f"{OLD}picodet_416_reader.yml": {"batches.per_gpu": 80, "augmentation.flip": 0.5},
    f"{OLD}picodet_640_reader.yml": {"batches.per_gpu": 56, "augmentation.flip": 0.5},
    f"{NEW}picodet_320_reader.yml": {"batches.per_gpu": 64, "augmentation.flip": 0.5},
    f"{NEW}picodet_416_reader.yml": {"batches.per_gpu": 64, "augmentation.flip": 0.5},
    f"{NEW}picodet_640_reader.yml": {"batches.per_gpu": 32, "augmentation.flip": 0.5},
    f"{OLD}picodet_esnet.yml": {"assignment.candidates": 10, "losses.giou": 2.0},
    f"{NEW}picodet_v2.yml": {
        **{"assignment.static_candidates": 9, "assignment.candidates": 13, "losses.giou": 2.5},
    },
}
CITED = {  # lines of ppdet 2.6.0, and what stands there
    "optimizer/optimizer.py:56": "min_lr_ratio=0.",
    "optimizer/optimizer.py:57": "last_plateau_epochs=0",
    "optimizer/optimizer.py:76": "for i in range(int(boundary[-1]), max_iters)",
    "optimizer/optimizer.py:168": "epochs=None",
    "optimizer/optimizer.py:211": "if self.epochs is not None else self.steps",
    "optimizer/optimizer.py:214": "**self.power",
    "optimizer/ema.py:68": "zeros_like",
    "engine/trainer.py:188": "'ema_decay', 0.9998",
    "engine/trainer.py:189": "'ema_decay_type', 'threshold'",
    "engine/trainer.py:190": "'cycle_epoch', -1",
    "engine/trainer.py:433": "== 'sync_bn'",
    "engine/trainer.py:563": "is_snapshot =",
    "data/source/dataset.py:111": "'mosaic_epoch', -1",
    "data/transform/operators.py:497": "def __init__",
    "data/transform/operators.py:757": "return cv2.resize(",
    "data/transform/operators.py:1358": "def __init__",
    "data/transform/operators.py:3200": "def __init__",
    "modeling/assigners/simota_assigner.py:45": "center_radius=2.5",
    "modeling/assigners/simota_assigner.py:48": "cls_weight=1.0",
    "modeling/heads/simota_head.py:480": "all_reduce(avg_factor)",
    "modeling/heads/pico_head.py:732": "all_reduce(avg_factor)",
}


@pytest.mark.parametrize("name", RECIPES)
def test_every_number_has_one(name):
    found = sources(name)
    assert found.keys() == leaves(RECIPES[name]).keys()
    assert all(re.search(r"\.(ya?ml|md|py)\b", source) for source in found.values())


@pytest.mark.parametrize("name", RECIPES)
def test_what_is_not_as_in_the_base_is_not_reported_as_standing_there(name):
    values = leaves(RECIPES[name])
    for path, source in sources(name).items():
        expected = IN_THE_BASES.get(source.split(": ")[0], {}).get(path, values[path])
        assert values[path] == expected, source


@pytest.mark.parametrize(
    ("name", "path", "source"),
    [
        ("picodet_s_416_coco", "schedule.base_lr", f"{OLD}optimizer_300e.yml: LearningRate"),
        ("picodet_l_416_coco", "schedule.base_lr", f"{ITSELF['picodet_l_416_coco']}: Lear"),
        ("picodet_l_416_coco", "augmentation.sizes", f"{OLD}picodet_416_reader.yml: TrainR"),
        ("picodet_l_416_coco", "optimizer.momentum", f"{OLD}optimizer_300e.yml: Optimizer"),
        ("picodet_m_416_coco", "backbone_weights", f"{OLD}picodet_esnet.yml: pretrain_weights"),
        ("picodet_s_416_coco", "assignment.candidates", f"{OLD}picodet_esnet.yml: PicoHead.as"),
        ("picodet_m_320_coco_lcnet", "assignment.alpha", f"{NEW}picodet_v2.yml: PicoHeadV2.a"),
        ("picodet_m_320_coco_lcnet", "schedule.epochs", ITSELF["picodet_m_320_coco_lcnet"]),
        ("picodet_s_192_pedestrian", "losses.giou", ITSELF["picodet_s_192_pedestrian"]),
        ("picodet_lcnet_x1_0_layout", "schedule.base_lr", f"{OLD}optimizer_100e.yml"),
        ("picodet_lcnet_cdla_layout", "schedule.base_lr", ITSELF["picodet_lcnet_cdla_layout"]),
        (
            *("picodet_m_320_coco_pruner", "schedule.warmup_steps"),
            "configs/picodet/legacy_model/pruner/optimizer_300e_pruner.yml: LearningRate",
        ),
        (
            *("PP-DocLayout-S", "assignment.static_epochs"),
            f"{ITSELF['PP-DocLayout-S']}: PicoHeadV2.static_assigner_epoch",
        ),
        ("PicoDet_layout_1x", "ema.cycle", f"{ITSELF['PicoDet_layout_1x']}: cycle_epoch"),
        ("PP-ShiTuV2_det", "augmentation.distort", f"{ITSELF['PP-ShiTuV2_det']}: TrainReader"),
        ("PicoDet-L", "box_normalizer", "PaddleDetection 666f597, which PaddleX clones"),
        (
            *("picodet_l_640_coco_lcnet_renche", "schedule.base_lr"),
            "configs/smrt/picodet/picodet_l_640_coco_lcnet_renche.yml: LearningRate",
        ),
        ("picodet_l_640_coco_lcnet_renche", "batches.gpus", "configs/smrt/README.md: all models"),
    ],
)
def test_a_config_goes_before_its_base(name, path, source):
    assert sources(name)[path].startswith(source)


def test_no_config_is_listed_that_has_no_recipe():
    assert OWN.keys() <= RECIPES.keys()


def test_the_lines_of_ppdet_say_so(paddle_python):
    (ppdet,) = paddle_python.parents[1].glob("lib/python3*/site-packages/ppdet")
    for cited, text in CITED.items():
        file, line = cited.split(":")
        assert text in (ppdet / file).read_text().splitlines()[int(line) - 1], cited


def test_no_line_is_named_that_was_not_looked_up():
    named = {
        match
        for name in RECIPES
        for source in sources(name).values()
        if "release/" not in source
        for match in re.findall(r"ppdet/([\w/]+\.py:\d+)", source)
    }
    assert named == CITED.keys()
