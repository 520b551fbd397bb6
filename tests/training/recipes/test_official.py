"""All numbers of PaddleDetection's configs, read by hand and by the machine that recorded them."""

import json
import re
from dataclasses import replace

import pytest

from picodet.training.recipes.builders import sizes_around
from picodet.training.recipes.display import derived_lines, never_aligned, row
from picodet.training.recipes.limits import leaves
from picodet.training.recipes.official import RECIPES
from picodet.training.recipes.schema import EMAConfig, LossWeights, SimOTA, TaskAligned
from picodet.zoo.official import CONFIGS, OFFICIAL, PADDLECLAS, PADDLEOCR, V2022

TEACHER = "picodet_lcnet_x2_5_layout"
WITHOUT = {TEACHER} | {o.config.name for o in OFFICIAL if o.group in (PADDLEOCR, PADDLECLAS)}
PICODET = {o.config.name for o in OFFICIAL if o.path.startswith("configs/picodet/")}
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
    """PaddleOCR and PaddleClas publish weights, and no configs."""
    assert len(WITHOUT) == 5
    assert RECIPES.keys() == CONFIGS.keys() - WITHOUT
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
        if name in PICODET
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
        if name == TEACHER or name not in PICODET:
            continue
        recipe, new = RECIPES[name], official.group == V2022
        few = name == "picodet_s_192_lcnet_pedestrian"
        aligned = TaskAligned(static_candidates=4 if few else 9)
        assert recipe.assignment == (aligned if new else SimOTA())
        assert recipe.losses == (LossWeights(1, 2.5, 0.5) if new else LossWeights(1, 2, 0.25))
        old = EMAConfig(applied="every epoch", cycle=recipe.ema.cycle)
        assert recipe.ema == (EMAConfig(applied="at snapshots") if new else old)


PADDLEX_READ = """
PicoDet-XS 0.28 56 4 300 300 300 10 None
PicoDet-S 0.08 64 4 50 300 100 1 None
PicoDet-M 0.24 48 4 250 300 300 10 None
PicoDet-L 0.08 16 4 50 300 100 1 None
PP-DocLayout-S 0.08 16 4 100 300 100 10 None
PP-DocLayout-M 0.06 16 4 100 150 300 10 None
PicoDet-S_layout_3cls 0.08 16 4 100 300 100 10 None
PicoDet-L_layout_3cls 0.06 16 4 100 150 300 10 None
PicoDet-S_layout_17cls 0.08 16 4 100 300 100 10 None
PicoDet-L_layout_17cls 0.06 16 4 100 150 300 10 None
PicoDet_layout_1x 0.4 24 4 50 100 100 1 10
PicoDet_layout_1x_table 0.4 24 4 50 100 100 1 10
PP-ShiTuV2_det 0.4 56 4 100 100 300 2 20
PicoDet_LCNet_x2_5_face 0.08 16 4 300 300 300 1 20
picodet_l_640_coco_lcnet_battery 0.006 8 1 50 50 300 10 None
picodet_l_1024_coco_lcnet_battery 0.006 8 1 50 50 300 10 None
picodet_l_640_coco_lcnet_lvjian1 0.006 8 1 50 50 300 10 None
picodet_l_1024_coco_lcnet_lvjian1 0.006 8 1 50 50 300 10 None
picodet_l_640_coco_lcnet_renche 0.006 8 1 50 50 300 10 None
picodet_l_1024_coco_lcnet_renche 0.006 8 1 50 50 300 10 None
"""  # base_lr, batch_size, GPUs, epoch, max_epochs, warm-up steps, snapshot_epoch, cycle_epoch


def test_as_read_by_hand_from_the_configs_of_paddlex_and_paddlesmrt():
    found = {
        name: " ".join(
            map(
                str,
                (
                    *(recipe.schedule.base_lr, recipe.batches.per_gpu, recipe.batches.gpus),
                    *(recipe.schedule.epochs, recipe.schedule.decay_epochs),
                    *(recipe.schedule.warmup_steps, recipe.snapshot_epochs, recipe.ema.cycle),
                ),
            )
        )
        for name, recipe in RECIPES.items()
        if name not in PICODET
    }
    assert found == dict(row.split(" ", 1) for row in PADDLEX_READ.strip().splitlines())


def test_paddlexs_are_trained_by_the_newest_ppdet():
    recipe = RECIPES["PP-DocLayout-M"]
    assert recipe.augmentation.distort == "ppdet-2.7"
    assert recipe.box_normalizer == "own over ranks"
    assert recipe.augmentation.sizes == tuple((side, side) for side in (576, 608, 640, 672, 704))
    assert recipe.backbone_weights.endswith("/PicoDet-L_layout_pretrained_v1.pdparams")
    face = RECIPES["PicoDet_LCNet_x2_5_face"]
    assert [height for height, _ in face.augmentation.sizes] == [
        *(704, 768, 896, 960, 1088, 1152, 1280)
    ]
    assert face.backbone_weights is None
    smrt = RECIPES["picodet_l_1024_coco_lcnet_battery"]
    assert [height for height, _ in smrt.augmentation.sizes] == [960, 992, 1024, 1056, 1088]
    assert smrt.schedule.warmup_factor == 0.001


def test_of_some_the_task_aligned_assigner_never_runs_and_that_is_reported():
    """static_assigner_epoch is 100 in all of them, and no more epochs are trained."""
    never = {name for name, recipe in RECIPES.items() if never_aligned(recipe)}
    layouts = {"PicoDet-S_layout_3cls", "PicoDet-L_layout_3cls"}
    layouts |= {"PicoDet-S_layout_17cls", "PicoDet-L_layout_17cls"}
    smrt = {name for name in RECIPES if name.endswith(("_battery", "_lvjian1", "_renche"))}
    assert never == layouts | smrt | {"PP-DocLayout-S", "PP-DocLayout-M", "PicoDet-S", "PicoDet-L"}
    assert never_aligned(RECIPES["PP-DocLayout-S"]) == (
        "the task-aligned assigner never runs: assignment.static_epochs is 100, and 100 epochs are "
        "trained, all with ATSS"
    )
    assert row(RECIPES["PP-DocLayout-S"])[5] == "ATSS, never TAL"
    assert derived_lines(RECIPES["PP-DocLayout-S"])[-1] == never_aligned(RECIPES["PP-DocLayout-S"])


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
