"""Evaluates weights in memory with COCO's metrics, between epochs of a training."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from picodet.config import ModelConfig
from picodet.data.coco import Annotations, AnnotationSource, read_annotations
from picodet.distributed import ProcessGroup, shard
from picodet.evaluation.class_matching import match_classes, select_matched
from picodet.evaluation.detections import predictions_from_rows
from picodet.evaluation.evaluator import default_threads
from picodet.evaluation.inference_loop import (
    ROW_LENGTH,
    BatchDetector,
    detect_batches,
    make_batches,
)
from picodet.evaluation.metrics import evaluate
from picodet.evaluation.schema import STATS
from picodet.evaluation.settings import EvalSettings, InputSettings
from picodet.inference.torch_backend import TorchBackend, move_to_device
from picodet.models.folding import fold_batch_norms
from picodet.models.picodet import PicoDet

ProgressCallback = Callable[[int, int], None]


class Validation:
    """A dataset that weights of one config are evaluated on, shared among processes."""

    def __init__(
        self,
        config: ModelConfig,
        images: Path,
        annotations: AnnotationSource,
        ranks: ProcessGroup,
        device: str = "cpu",
        batch: int = 1,
        progress: ProgressCallback = lambda done, total: None,
    ) -> None:
        """Raises EvaluationError where no class of the model is a category of the annotations.

        Other categories do not count, as in training.
        """
        self.config, self.images, self.ranks = config, images, ranks
        self.device, self.batch, self.progress = device, batch, progress
        whole = read_annotations(annotations)
        spec = TorchBackend(PicoDet(config).eval()).spec
        match = match_classes(spec, whole.categories, "name")
        self.category_ids = match.category_ids
        self.annotations: Annotations = select_matched(whole, match)[0]

    def __call__(self, weights: Mapping[str, Tensor]) -> Mapping[str, float]:
        """COCO's twelve metrics by name; all processes must call it, and all get them.

        Sets torch's number of threads to 1 meanwhile.
        """
        model = PicoDet(self.config)
        model.load_state_dict({name: tensor.cpu() for name, tensor in weights.items()})
        network = TorchBackend(move_to_device(fold_batch_norms(model.eval()), self.device))
        preprocessing = self.config.preprocessing
        setting = EvalSettings(InputSettings(preprocessing.interp, kernels=preprocessing.resize))
        detector = BatchDetector(network, self.images, (setting,), self.category_ids)
        batches = shard(self.ranks, make_batches(self.annotations.images, self.batch))
        rows, before = [np.empty((0, ROW_LENGTH))], torch.get_num_threads()
        torch.set_num_threads(1)  # images are already processed in threads
        try:
            for i, (_, (batch_rows,)) in enumerate(
                detect_batches(detector, batches, default_threads()), 1
            ):
                rows.append(batch_rows)
                self.progress(i, len(batches))
        finally:
            torch.set_num_threads(before)
        all_rows = np.concatenate(self.ranks.gather(np.concatenate(rows)))
        all_rows = all_rows[np.argsort(all_rows[:, 0], kind="stable")]
        stats = evaluate(self.annotations, predictions_from_rows(all_rows)).stats
        return dict(zip(STATS, stats, strict=True))
