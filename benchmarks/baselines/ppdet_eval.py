"""Runs ppdet's evaluation of PicoDet-S-416 as its tools/eval.py does.

    PYTHON benchmarks/baselines/ppdet_eval.py CHECKPOINT.pdparams IMAGES ANNOTATIONS.json
        [--interp 2] [--json FILE] [--out FILE]

PYTHON has paddlepaddle and ppdet (`make reference`); picodet is not needed. The wheel of ppdet has
neither tools/eval.py nor configs: the settings below are those of
configs/picodet/legacy_model/picodet_s_416_coco.yml and the files it is based on, batch size and
number of workers included.
"""

import argparse
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import paddle
from ppdet.core.workspace import load_config
from ppdet.engine import Trainer
from ppdet.engine.callbacks import Callback

CONFIG = """
architecture: PicoDet
metric: COCO
num_classes: 80
use_gpu: false
log_iter: 20
worker_num: 6
use_ema: true
cycle_epoch: 40
snapshot_epoch: 10
epoch: 300
save_dir: {folder}
output_eval: {folder}
eval_size: [416, 416]

PicoDet: {{backbone: ESNet, neck: CSPPAN, head: PicoHead}}
ESNet:
  scale: 0.75
  feature_maps: [4, 11, 14]
  act: hard_swish
  channel_ratio: [0.875, 0.5, 0.5, 0.5, 0.625, 0.5, 0.625, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5]
CSPPAN: {{out_channels: 96, use_depthwise: true, num_csp_blocks: 1, num_features: 4}}
PicoHead:
  conv_feat:
    name: PicoFeat
    feat_in: 96
    feat_out: 96
    num_convs: 2
    num_fpn_stride: 4
    norm_type: bn
    share_cls_reg: true
  fpn_stride: [8, 16, 32, 64]
  feat_in_chan: 96
  prior_prob: 0.01
  reg_max: 7
  cell_offset: 0.5
  loss_class: {{name: VarifocalLoss, use_sigmoid: true, iou_weighted: true, loss_weight: 1.0}}
  loss_dfl: {{name: DistributionFocalLoss, loss_weight: 0.25}}
  loss_bbox: {{name: GIoULoss, loss_weight: 2.0}}
  assigner: {{name: SimOTAAssigner, candidate_topk: 10, iou_weight: 6}}
  nms:
    name: MultiClassNMS
    nms_top_k: 1000
    keep_top_k: 100
    score_threshold: 0.025
    nms_threshold: 0.6

EvalDataset: !COCODataSet
  dataset_dir: {dataset}
  image_dir: {images}
  anno_path: {annotations}
  allow_empty: true

EvalReader:
  sample_transforms: &transforms
  - Decode: {{}}
  - Resize: {{interp: {interp}, target_size: [416, 416], keep_ratio: false}}
  - NormalizeImage: {{is_scale: true, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225]}}
  - Permute: {{}}
  batch_transforms:
  - PadBatch: {{pad_to_stride: 32}}
  batch_size: 8
  shuffle: false
TestReader:
  inputs_def: {{image_shape: [1, 3, 416, 416]}}
  sample_transforms: *transforms
  batch_size: 1
"""


class StatsCallback(Callback):
    """Keeps the twelve COCO metrics before the trainer drops them."""

    stats: list[float]

    def on_epoch_end(self, _: Any) -> None:
        (metric,) = self.model._metrics
        self.stats = [float(value) for value in metric.get_results()["bbox"]]


def evaluate(config: Path, checkpoint: Path) -> list[float]:
    """Evaluate as tools/eval.py does after parsing its options: the twelve COCO metrics."""
    paddle.set_device("cpu")
    trainer = Trainer(load_config(str(config)), mode="eval")
    trainer.load_weights(str(checkpoint))
    callback = StatsCallback(trainer)
    trainer.register_callbacks([callback])
    trainer.evaluate()
    return callback.stats


def main() -> None:
    """Evaluate, and write the twelve metrics and the number of detections to --json."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("images", type=Path)
    parser.add_argument("annotations", type=Path)
    parser.add_argument("--interp", type=int, default=2)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--out", type=Path, help="ppdet's predictions file")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        config = folder / "picodet_s_416_coco.yml"
        images = arguments.images.resolve()
        config.write_text(
            CONFIG.format(
                folder=json.dumps(str(folder)),
                dataset=json.dumps(str(images.parent)),
                images=json.dumps(images.name),
                annotations=json.dumps(str(arguments.annotations.resolve())),
                interp=arguments.interp,
            )
        )
        stats = evaluate(config, arguments.checkpoint)
        detections = len(json.loads((folder / "bbox.json").read_text()))
        if arguments.out:
            shutil.copyfile(folder / "bbox.json", arguments.out)
    content = {"stats": stats, "detections": detections, "interp": arguments.interp}
    if arguments.json:
        arguments.json.write_text(json.dumps(content, indent=1) + "\n")
    print(content)


if __name__ == "__main__":
    main()
