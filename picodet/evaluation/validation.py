"""Weights in memory -> COCO's numbers, while a training waits."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from picodet.config import ModelConfig
from picodet.data.coco import Annotations, read_annotations
from picodet.distributed import ProcessGroup, shard
from picodet.evaluation.class_matching import match_classes
from picodet.evaluation.detections import from_rows
from picodet.evaluation.evaluator import threads_here
from picodet.evaluation.inference_loop import ROW, Work, groups, run
from picodet.evaluation.metrics import evaluate
from picodet.evaluation.schema import STATS
from picodet.evaluation.settings import Feeding, Setting
from picodet.inference.torch_backend import TorchNetwork, on_device
from picodet.models.folding import fold_batch_norms
from picodet.models.picodet import PicoDet

Progress = Callable[[int, int], None]


class Validation:
    """A dataset that weights of one config are evaluated on, shared among processes."""

    def __init__(
        self,
        config: ModelConfig,
        pictures: Path,
        annotations: Path,
        ranks: ProcessGroup,
        device: str = "cpu",
        batch: int = 1,
        progress: Progress = lambda done, total: None,
    ) -> None:
        """Raises EvaluationError where the annotations lack one of the model's classes."""
        self.config, self.pictures, self.ranks = config, pictures, ranks
        self.device, self.batch, self.progress = device, batch, progress
        self.annotations: Annotations = read_annotations(annotations)
        spec = TorchNetwork(PicoDet(config).eval()).spec
        self.category_ids, _ = match_classes(spec, self.annotations.categories, "name")

    def __call__(self, weights: Mapping[str, Tensor]) -> Mapping[str, float]:
        """COCO's twelve numbers by their names; all processes call it, and all get them."""
        model = PicoDet(self.config)
        model.load_state_dict({name: tensor.cpu() for name, tensor in weights.items()})
        network = TorchNetwork(on_device(fold_batch_norms(model.eval()), self.device))
        numbers = self.config.preprocessing
        setting = Setting(Feeding(numbers.interp, kernels=numbers.resize))
        work = Work(network, self.pictures, (setting,), self.category_ids)
        todo = shard(self.ranks, groups(self.annotations.pictures, self.batch))
        rows, before = [np.empty((0, ROW))], torch.get_num_threads()
        torch.set_num_threads(1)  # the pictures are shared among threads already
        try:
            for i, (_, (found,)) in enumerate(run(work, todo, threads_here()), 1):
                rows.append(found)
                self.progress(i, len(todo))
        finally:
            torch.set_num_threads(before)
        everybodys = np.concatenate(self.ranks.gather(np.concatenate(rows)))
        everybodys = everybodys[np.argsort(everybodys[:, 0], kind="stable")]
        stats = evaluate(self.annotations, from_rows(everybodys)).stats
        return dict(zip(STATS, stats, strict=True))
