"""Where every number of an official recipe stands in PaddleDetection 666f597, or in PaddleX.

A number is in the config itself, in the `_base_` file that it names, or a default in the code.
Lines of code are those of ppdet 2.6.0, or of the release that is named.
"""

from picodet.training.recipes.limits import leaves
from picodet.training.recipes.official import RECIPES
from picodet.zoo.official import OFFICIAL, PADDLEX, V2022, OfficialModel

CONFIGS = "configs/picodet/"
SMRT = "configs/smrt/"
COSINE = "LearningRate.schedulers.CosineDecay"
LINEAR = "LearningRate.schedulers.LinearWarmup"
EXPONENTIAL = "LearningRate.schedulers.ExpWarmup"
SAMPLES = "TrainReader.sample_transforms"
HEADS = {"pico_head": "PicoHead", "pico_head_v2": "PicoHeadV2"}
OPTIMIZER = "ppdet/optimizer/optimizer.py"
TRAINER = "ppdet/engine/trainer.py"
OPERATORS = "ppdet/data/transform/operators.py"
SIMOTA = "ppdet/modeling/assigners/simota_assigner.py"
GPUS = {
    True: f"{CONFIGS}README.md: every published config was trained on 4 GPUs",
    # 117,266 images of COCO have boxes; 34,350 steps are 150 epochs of 229 times 4 x 128
    False: f"{CONFIGS}legacy_model/README.md: 4 or 8 GPUs, not which model on which; the "
    "pruner's 34,350 steps are 150 epochs on 4",
}

NEWEST = "PaddleDetection 666f597, which PaddleX clones (paddlex/repo_manager/meta.py)"
PADDLEX_CODE = {
    "batches.gpus": "paddlex/configs/modules/*/NAME.yaml: Global.device gpu:0,1,2,3",
    "ema.applied": f"{TRAINER}:563-568: since 2.4, at snapshots",
    "box_normalizer": f"{NEWEST}: each rank's own over the number of ranks, since 2.6.1",
}
SMRT_GPUS = "configs/smrt/README.md: all models are trained on one GPU"

KEYS = {  # of a config; {head} is PicoHead or PicoHeadV2
    "backbone_weights": "pretrain_weights",
    "batches.per_gpu": "TrainReader.batch_size",
    "schedule.base_lr": "LearningRate.base_lr",
    "schedule.epochs": "epoch",
    "schedule.decay_epochs": f"{COSINE}.max_epochs",
    "schedule.warmup": LINEAR,
    "schedule.warmup_steps": f"{LINEAR}.steps",
    "schedule.warmup_factor": f"{LINEAR}.start_factor",
    "augmentation.sizes": "TrainReader.batch_transforms.BatchRandomResize.target_size",
    "augmentation.crop": f"{SAMPLES}.RandomCrop; its numbers: {OPERATORS}:1358-1365",
    "augmentation.flip": f"{SAMPLES}.RandomFlip.prob",
    "augmentation.distort": f"{SAMPLES}.RandomDistort; its numbers: {OPERATORS}:497-504, which "
    "the published weights saw",
    "assignment.candidates": "{head}.assigner.{topk}",
    "assignment.iou_weight": "{head}.assigner.iou_weight",
    "assignment.static_epochs": "{head}.static_assigner_epoch",
    "assignment.static_candidates": "{head}.static_assigner.topk",
    "assignment.anchor_size": "{head}.grid_cell_scale",
    "assignment.alpha": "{head}.assigner.alpha",
    "assignment.beta": "{head}.assigner.beta",
    "losses.vfl": "{head}.loss_class.loss_weight",
    "losses.giou": "{head}.loss_bbox.loss_weight",
    "losses.dfl": "{head}.loss_dfl.loss_weight",
    "ema.cycle": "cycle_epoch",
    "optimizer.momentum": "OptimizerBuilder.optimizer.momentum",
    "optimizer.weight_decay": "OptimizerBuilder.regularizer.factor",
    "snapshot_epochs": "snapshot_epoch",
}
CODE = {
    "schedule.warmup_epochs": f"{OPTIMIZER}:168: LinearWarmup's default",
    "schedule.end_ratio": f"{OPTIMIZER}:56: CosineDecay's default",
    "schedule.plateau_epochs": f"{OPTIMIZER}:57: CosineDecay's default",
    "schedule.per": f"{OPTIMIZER}:76-86: a learning rate for every iteration",
    "augmentation.mosaic": "no config but picodet_s_416_coco_npu.yml has one",
    "augmentation.mosaic_epochs": "ppdet/data/source/dataset.py:111: no epoch, by default",
    "assignment.center_radius": f"{SIMOTA}:45: the default",
    "assignment.class_weight": f"{SIMOTA}:48: the default",
    "optimizer.backbone_lr_factor": "ppdet/modeling/backbones/resnet.py: lr_mult_list, of ones",
    "ema.decay": f"{TRAINER}:188: ema_decay's default",
    "ema.kind": f"{TRAINER}:189: ema_decay_type's default",
    "ema.start": "ppdet/optimizer/ema.py:68: from zeros",
    "ema.cycle": f"{TRAINER}:190: cycle_epoch's default, -1",
    "frozen": "ppdet/modeling/backbones/resnet.py: freeze_at -1, freeze_norm false",
    "sync_bn": f"{TRAINER}:433: only at norm_type sync_bn, which no config has",
}
APPLIED = {
    True: f"{TRAINER}:563-568: since 2.4, at snapshots",
    False: f"release/2.3, {TRAINER}:428-431, every epoch, as the weights of 2021 were trained",
}
NORMALIZER = {
    True: "ppdet/modeling/heads/pico_head.py:732-734: the mean",
    False: "ppdet/modeling/heads/simota_head.py:480-482: the mean, until 2.6.0",
}
NPU = {
    "schedule.warmup": EXPONENTIAL,
    "schedule.warmup_epochs": f"{EXPONENTIAL}.epochs",
    "schedule.end_ratio": f"{COSINE}.min_lr_ratio",
    "schedule.plateau_epochs": f"{COSINE}.last_plateau_epochs",
    "augmentation.mosaic": f"{SAMPLES}.Mosaic, prob 0.6, and .AugmentHSV, gains 5, 30, 30; "
    f"the rest: {OPERATORS}:3200-3210",
    "augmentation.mosaic_epochs": "TrainReader.mosaic_epoch",
    "augmentation.crop": f"{SAMPLES}: there is no RandomCrop",
    "augmentation.distort": f"{SAMPLES}: there is no RandomDistort",
}
NPU_CODE = {
    "schedule.warmup_steps": f"{OPTIMIZER}:211: epochs are given, and go before",
    "schedule.warmup_factor": f"{OPTIMIZER}:214: ExpWarmup has none",
}

LEARNING_RATE, BATCH, WEIGHTS = "LearningRate", "TrainReader.batch_size", "pretrain_weights"
OWN_2022 = (
    "epoch",
    "snapshot_epoch",
    BATCH,
    LEARNING_RATE,
)  # set in every config of 2022 itself
OWN_2021 = ("cycle_epoch", "snapshot_epoch")
WHOLE = ("",)  # the whole config: it names no base
OWN = {  # keys that a config sets itself besides, with all keys below them
    "picodet_m_320_coco_lcnet": (),
    "picodet_m_416_coco_lcnet": (),
    "picodet_s_416_coco_npu": (WEIGHTS, "TrainReader"),
    "picodet_s_192_lcnet_pedestrian": WHOLE,
    "picodet_s_320_lcnet_pedestrian": WHOLE,
    "picodet_m_320_coco": (),
    "picodet_m_416_coco": (),
    "picodet_m_320_coco_pruner": (),
    "picodet_l_320_coco": (WEIGHTS, "epoch", BATCH, LEARNING_RATE),
    "picodet_l_416_coco": (WEIGHTS, "epoch", BATCH, LEARNING_RATE),
    "picodet_l_640_coco": (WEIGHTS, "epoch", BATCH, LEARNING_RATE),
    "picodet_s_192_pedestrian": WHOLE,
    "picodet_s_320_pedestrian": WHOLE,
    "picodet_lcnet_1_0x_416_coco": (WEIGHTS, BATCH),
    "picodet_lcnet_1_5x_640_coco": (WEIGHTS, BATCH, LEARNING_RATE),
    "picodet_lcnet_2_5x_416_coco": (WEIGHTS, BATCH),
    "picodet_mobilenetv3_large_1x_416_coco": (WEIGHTS, "epoch", BATCH, LEARNING_RATE),
    "picodet_r18_640_coco": (WEIGHTS, BATCH, LEARNING_RATE),
    "picodet_lcnet_x1_0_layout": (WEIGHTS, "epoch", "TrainReader"),
    "picodet_lcnet_cdla_layout": (WEIGHTS, "epoch", "TrainReader", LEARNING_RATE),
}
OPTIMIZER_FILES = {  # where it is not _base_/optimizer_300e.yml
    "picodet_m_320_coco_pruner": "legacy_model/pruner/optimizer_300e_pruner.yml",
    "picodet_lcnet_x1_0_layout": "legacy_model/_base_/optimizer_100e.yml",
    "picodet_lcnet_cdla_layout": "legacy_model/_base_/optimizer_100e.yml",
    "picodet_lcnet_x2_5_640_mainbody": "legacy_model/_base_/optimizer_100e.yml",
}
BY_NAME = {official.config.name: official for official in OFFICIAL}


def sources(name: str) -> dict[str, str]:
    """The source of each value of an official recipe: path -> file and key, or line, of ppdet."""
    official = BY_NAME[name]
    return {path: _source(official, path) for path in leaves(RECIPES[name])}


def _source(official: OfficialModel, path: str) -> str:
    name, new = official.config.name, official.config.head == "pico_head_v2"
    npu = name == "picodet_s_416_coco_npu"
    of_code = {"batches.gpus": GPUS[new], "ema.applied": APPLIED[new]}
    of_code["box_normalizer"] = NORMALIZER[new]
    of_code |= CODE | (NPU_CODE if npu else {})
    keys = KEYS | (NPU if npu else {})
    if official.group == PADDLEX:
        of_code |= PADDLEX_CODE
        keys = KEYS | {"augmentation.distort": f"{SAMPLES}.RandomDistort; its numbers: {NEWEST}"}
    elif official.path.startswith(SMRT):
        of_code["batches.gpus"] = SMRT_GPUS
    if path == "model.resize":
        return f"{OPERATORS}:757"  # cv2.resize, which leaves it to OpenCV
    if path in ("model", "model.input_size"):
        return official.path
    if path == "ema.cycle" and new:
        return of_code[path]
    if path not in keys or (path in NPU_CODE and npu):
        return of_code[path]
    topk = "topk" if new else "candidate_topk"
    key = keys[path].format(head=HEADS[official.config.head], topk=topk)
    return f"{_file(official, key)}: {key}"


def _file(official: OfficialModel, key: str) -> str:
    """The file of a config that sets this key last."""
    name, new = official.config.name, official.group == V2022
    if official.group == PADDLEX or official.path.startswith(SMRT):
        return official.path
    own = (OWN_2022 if new else OWN_2021) + OWN.get(name, (WEIGHTS,))
    if any(key == part or not part or key.startswith(f"{part}.") for part in own):
        return official.path
    base = f"{CONFIGS}_base_/" if new else f"{CONFIGS}legacy_model/_base_/"
    if key.startswith(("LearningRate", "OptimizerBuilder", "epoch")):
        file = OPTIMIZER_FILES.get(name)
        return f"{CONFIGS}{file}" if file else f"{base}optimizer_300e.yml"
    if key.startswith("TrainReader"):
        return f"{base}picodet_{official.config.input_size[0]}_reader.yml"
    return f"{base}{'picodet_v2' if new else 'picodet_esnet'}.yml"
