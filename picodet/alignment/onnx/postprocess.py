"""The post-processing of an ONNX model, step by step."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from picodet.alignment.checks.export_postprocess import ExportedPostprocess
from picodet.alignment.checks.heads_and_decoding import ExportedHeads, head_output_by_layer
from picodet.alignment.onnx.subgraph import Subgraphs
from picodet.graphs.outputs import GraphOutputs, flatten_map
from picodet.models.head import AnyHeadOutput


def exported_postprocess(
    subgraphs: Subgraphs,
    names: GraphOutputs,
    tensor_names: Mapping[str, str],
    scale_factor: np.ndarray,
) -> ExportedPostprocess:
    """The post-processing of an ONNX model, as functions that run its subgraphs.

    tensor_names: the graph's names of the layers' outputs, by their paths. scale_factor [2] (y, x):
    applied to boxes where the graph does not. The functions raise SubgraphError.
    """

    def heads() -> ExportedHeads:
        outputs = (*names.scores, *names.reg)
        values = zip(subgraphs.run(outputs, threads=0), outputs, strict=True)
        maps = [torch.from_numpy(flatten_map(array, name)) for array, name in values]
        return ExportedHeads(tuple(maps[: len(names.scores)]), tuple(maps[len(names.scores) :]))

    def decode(heads: AnyHeadOutput) -> tuple[Tensor, Tensor]:
        known = {tensor_names[path]: x.numpy() for path, x in head_output_by_layer(heads).items()}
        boxes, scores = subgraphs.run([str(names.boxes), str(names.box_scores)], known.get)
        return torch.from_numpy(boxes), torch.from_numpy(scores)

    def run_nms(boxes: np.ndarray, scores: np.ndarray) -> np.ndarray:
        if not names.in_image:
            boxes = boxes / np.tile(scale_factor[::-1], 2)
        known = {str(names.boxes): boxes[None], str(names.box_scores): scores[None]}
        (rows,) = subgraphs.run([str(names.kept)], known.get)
        return rows

    return ExportedPostprocess(
        heads,
        decode if names.boxes and names.box_scores else None,
        run_nms if names.kept else None,
    )
