"""All numbers of PaddleDetection's configs, read by hand and by the machine that recorded them."""

import json
import re
from dataclasses import replace

import pytest

from picodet.training.recipes.limits import leaves
from picodet.training.recipes.official import RECIPES, sizes_around
from picodet.training.recipes.schema import EMAConfig, LossWeights, SimOTA, TaskAligned
from picodet.zoo.official import CONFIGS, OFFICIAL, V2022

TEACHER = "picodet_lcnet_x2_5_layout"
READ = """
picodet_s_192_lcnet_pedestrian 0.32 64 None
picodet_s_320_lcnet_pedestrian 0.32 64 None
picodet_lcnet_cdla_layout 0.4 12 10
picodet_lcnet_x1_0_layout 0.4 24 10
picodet_lcnet_x2_5_640_mainbody 0.4 56 20
picodet_s_192_pedestrian 0.4 128 40
picodet_s_320_pedestrian 0.4 128 40
picodet_lcnet_1_0x_416_coco 0.4 90 40
picodet_lcnet_1_5x_416_coco 0.4 80 40
picodet_lcnet_1_5x_640_coco 0.2 24 40
picodet_lcnet_2_5x_416_coco 0.4 48 40
picodet_mobilenetv3_large_1x_416_coco 0.3 56 40
picodet_r18_640_coco 0.3 56 40
picodet_shufflenetv2_1x_416_coco 0.4 80 40
picodet_l_320_coco 0.3 56 40
picodet_l_416_coco 0.3 48 40
picodet_l_640_coco 0.3 32 40
picodet_m_320_coco 0.4 128 40
picodet_m_416_coco 0.4 80 40
picodet_s_320_coco 0.4 128 40
picodet_s_320_voc 0.4 128 40
picodet_s_416_coco 0.4 80 40
picodet_m_320_coco_pruner 0.15 128 40
picodet_l_320_coco_lcnet 0.12 24 None
picodet_l_416_coco_lcnet 0.12 24 None
picodet_l_640_coco_lcnet 0.06 12 None
picodet_m_320_coco_lcnet 0.24 48 None
picodet_m_416_coco_lcnet 0.24 48 None
picodet_s_320_coco_lcnet 0.32 64 None
picodet_s_416_coco_lcnet 0.24 48 None
picodet_s_416_coco_npu 0.2 40 None
picodet_xs_320_coco_lcnet 0.32 64 None
picodet_xs_416_coco_lcnet 0.28 56 None
"""  # base_lr, batch_size, cycle_epoch; by a program that had ppdet load each config
RECORDED = ("picodet_s_416_coco", "picodet_m_416_coco", "picodet_xs_320_coco_lcnet")


def test_every_config_but_the_teacher_has_one():
    assert RECIPES.keys() == CONFIGS.keys() - {TEACHER}
    assert all(recipe.model is CONFIGS[name] for name, recipe in RECIPES.items())


@pytest.mark.parametrize("name", RECORDED)
def test_as_in_the_configs_that_ppdet_has_loaded(shared, name):
    meta = json.loads((shared / "reference" / name / "meta.json").read_text())
    recipe = RECIPES[name]
    text = str(meta["lr"]["schedulers"])
    assert recipe.batches.per_gpu == meta["batch_size"]
    assert recipe.schedule.base_lr == meta["lr"]["base_lr"]
    assert recipe.schedule.epochs == meta["epoch"]
    assert recipe.schedule.decay_epochs == int(re.search(r"'max_epochs': (\d+)", text)[1])
    assert recipe.schedule.warmup_steps == int(re.search(r"'steps': (\d+)", text)[1])
    assert recipe.schedule.warmup_factor == float(re.search(r"'start_factor': ([\d.]+)", text)[1])
    assert recipe.ema.cycle == meta["cycle_epoch"]
    assert recipe.snapshot_epochs == meta["snapshot_epoch"]
    assert recipe.optimizer.momentum == meta["optimizer"]["optimizer"]["momentum"]
    assert recipe.optimizer.weight_decay == meta["optimizer"]["regularizer"]["factor"]
    crop, flip, distort = meta["train_transforms"]["sample"][1:]
    assert (crop, distort) == ({"RandomCrop": {}}, {"RandomDistort": {}})
    assert recipe.augmentation.crop
    assert recipe.augmentation.distort == "ppdet-2.6"
    assert recipe.augmentation.flip == flip["RandomFlip"]["prob"]
    sides = meta["train_transforms"]["batch"][0]["BatchRandomResize"]["target_size"]
    assert recipe.augmentation.sizes == tuple((side, side) for side in sides)


def test_as_a_program_has_read_them_from_all_configs_of_666f597():
    rows = [row.split() for row in READ.strip().splitlines()]
    assert {
        name: (recipe.schedule.base_lr, recipe.batches.per_gpu, recipe.ema.cycle)
        for name, recipe in RECIPES.items()
    } == {
        name: (float(lr), int(batch), None if cycle == "None" else int(cycle))
        for name, lr, batch, cycle in rows
    }


@pytest.mark.parametrize(
    ("name", "epochs", "decay_epochs"),
    [
        ("picodet_s_416_coco", 300, 300),
        ("picodet_l_320_coco", 250, 300),
        ("picodet_l_416_coco", 250, 300),
        ("picodet_l_640_coco", 250, 300),
        ("picodet_m_320_coco_lcnet", 300, 300),
        ("picodet_m_416_coco_lcnet", 250, 300),
        ("picodet_l_320_coco_lcnet", 250, 300),
        ("picodet_l_416_coco_lcnet", 250, 300),
        ("picodet_l_640_coco_lcnet", 200, 300),
        ("picodet_mobilenetv3_large_1x_416_coco", 180, 300),
        ("picodet_lcnet_1_5x_640_coco", 300, 300),
        ("picodet_r18_640_coco", 300, 300),
        ("picodet_lcnet_x1_0_layout", 100, 100),
        ("picodet_lcnet_cdla_layout", 150, 150),
        ("picodet_lcnet_x2_5_640_mainbody", 100, 100),
    ],
)
def test_some_end_before_their_cosine_does(name, epochs, decay_epochs):
    schedule = RECIPES[name].schedule
    assert (schedule.epochs, schedule.decay_epochs) == (epochs, decay_epochs)


@pytest.mark.parametrize(
    ("size", "sizes"),
    [
        ((192, 192), [128, 160, 192, 224, 256]),
        ((320, 320), [256, 288, 320, 352, 384]),
        ((416, 416), [352, 384, 416, 448, 480]),
        ((640, 640), [576, 608, 640, 672, 704]),
    ],
)
def test_sizes_of_the_readers(size, sizes):
    assert sizes_around(size) == tuple((side, side) for side in sizes)


def test_pages_have_three_sizes():
    assert RECIPES["picodet_lcnet_x1_0_layout"].augmentation.sizes == (
        *((768, 576), (800, 608), (832, 640)),
    )


def test_the_generations_differ_in_assignment_losses_and_average():
    for official in OFFICIAL:
        name = official.config.name
        if name == TEACHER:
            continue
        recipe, new = RECIPES[name], official.group == V2022
        few = name == "picodet_s_192_lcnet_pedestrian"
        aligned = TaskAligned(static_candidates=4 if few else 9)
        assert recipe.assignment == (aligned if new else SimOTA())
        assert recipe.losses == (LossWeights(1, 2.5, 0.5) if new else LossWeights(1, 2, 0.25))
        old = EMAConfig(applied="every epoch", cycle=recipe.ema.cycle)
        assert recipe.ema == (EMAConfig(applied="at snapshots") if new else old)


def test_the_pruner_has_a_constant_learning_rate_while_it_prunes():
    """34,350 steps are 150 epochs of 229 steps, which gives the number of GPUs."""
    recipe, plain = RECIPES["picodet_m_320_coco_pruner"], RECIPES["picodet_m_320_coco"]
    schedule = replace(plain.schedule, base_lr=0.15, warmup_factor=1.0, warmup_steps=34350)
    assert recipe == replace(plain, model=recipe.model, schedule=schedule)
    assert 117_266 // recipe.batches.total * 150 == 34350


def test_the_npu_recipe_has_its_own_images_and_learning_rates():
    recipe, other = RECIPES["picodet_s_416_coco_npu"], RECIPES["picodet_s_416_coco_lcnet"]
    before, after = leaves(other), leaves(recipe)
    assert {path: after[path] for path in after if after[path] != before[path]} == {
        "model": "picodet_s_416_coco_npu",
        "batches.per_gpu": 40,
        "schedule.base_lr": 0.2,
        "schedule.warmup": "exponential",
        "schedule.warmup_steps": 0,
        "schedule.warmup_epochs": 2,
        "schedule.end_ratio": 0.08,
        "schedule.plateau_epochs": 30,
        "augmentation.sizes": tuple((s, s) for s in (320, 352, 384, 416, 448, 480, 512)),
        "augmentation.mosaic": True,
        "augmentation.mosaic_epochs": 180,
        "augmentation.crop": False,
        "augmentation.distort": None,
    }


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("picodet_s_416_coco", "pretrained/ESNet_x0_75_pretrained.pdparams"),
        ("picodet_m_320_coco_pruner", "pretrained/ESNet_x1_0_pretrained.pdparams"),
        ("picodet_l_640_coco", "pretrained/ESNet_x1_25_pretrained.pdparams"),
        ("picodet_xs_320_coco_lcnet", "pretrained/LCNet_x0_35_pretrained.pdparams"),
        ("picodet_s_416_coco_lcnet", "legendary_models/PPLCNet_x0_75_pretrained.pdparams"),
        ("picodet_m_416_coco_lcnet", "pretrained/LCNet_x1_5_pretrained.pdparams"),
        ("picodet_l_416_coco_lcnet", "legendary_models/PPLCNet_x2_0_pretrained.pdparams"),
        ("picodet_lcnet_2_5x_416_coco", "pretrained/LCNet_x2_5_ssld_pretrained.pdparams"),
        (
            "picodet_mobilenetv3_large_1x_416_coco",
            "pretrained/MobileNetV3_large_x1_0_ssld_pretrained.pdparams",
        ),
    ],
)
def test_backbones(name, file):
    assert RECIPES[name].backbone_weights.endswith(f"bcebos.com/{_folders(file)}{file}")


def _folders(file):
    return "models/" if file.startswith("pretrained") else "dygraph/"
