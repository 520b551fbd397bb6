"""Paddle's NMS in ONNX operators: boxes and scores -> detections.

Exactly picodet.ops.nms.multiclass_nms, for several images at once: scores greater than the
threshold are candidates; of each class the best NMS_TOP_K go on; a box is suppressed if its IoU
with a better kept box of its class exceeds the threshold; the best KEEP_TOP_K of all classes stay,
class by class, best score first; equal scores by class, then by anchor point.
"""

from onnx import TensorProto

from picodet.exporter.onnx_builder import OnnxBuilder

NMS_TOP_K = 1000  # candidates of a class that go into the NMS
KEEP_TOP_K = 100  # detections of an image that come out
NO_POSITION = 2**31 - 1  # greater than every position


def write_detections(
    builder: OnnxBuilder,
    boxes: str,
    scores: str,
    scale_factor: str | None,
    score_threshold: float,
    iou_threshold: float,
    num_anchors: int | None,
) -> tuple[str, str]:
    """Write rows [N, 6] of class, score and xyxy, image after image, and their counts [B] int32.

    boxes [B, A, 4], scores [B, C, A], scale_factor [B, 2] (y, x): boxes are divided by it before
    they are compared. num_anchors: A, None where it is dynamic.
    """
    if scale_factor:
        factors = builder.add(
            "Gather", [scale_factor, builder.integers([1, 0, 1, 0])], "scale_factor.xyxy", axis=1
        )
        factors_per_box = builder.unsqueeze(factors, 1, "scale_factor.of_boxes")
        boxes = builder.add("Div", [boxes, factors_per_box], "boxes.in_image")
    if num_anchors is None or num_anchors > NMS_TOP_K:
        scores = _top_k_per_class(builder, scores, score_threshold)
    selected = builder.add(  # [n, 3]: image, class, anchor point; by image, class and score
        "NonMaxSuppression",
        [
            *(boxes, scores, builder.integers([KEEP_TOP_K])),
            builder.constant([iou_threshold], "iou_threshold"),
            builder.constant([score_threshold], "score_threshold"),
        ],
        "nms.selected",
    )
    selected_scores = builder.add("GatherND", [scores, selected], "nms.scores")  # [n]
    kept, counts = _keep_top_k_per_image(builder, selected, selected_scores, scores)

    indices = builder.add("Gather", [selected, kept], "rows.indices", axis=0)
    labels = builder.slice(indices, 1, 2, 1, "rows.labels")
    corners = builder.add("Gather", [indices, builder.integers([0, 2])], "rows.cells", axis=1)
    row_scores = builder.add("Gather", [selected_scores, kept], "rows.scores", axis=0)
    parts = [
        builder.cast(labels, TensorProto.FLOAT, "rows.classes"),
        builder.unsqueeze(row_scores, 1, "rows.column"),
        builder.add("GatherND", [boxes, corners], "rows.boxes"),
    ]
    return builder.add("Concat", parts, "rows", axis=1), counts


def _top_k_per_class(builder: OnnxBuilder, scores: str, threshold: float) -> str:
    """Scores [B, C, A] with 0 for all but the best NMS_TOP_K of a class; ties by anchor point.

    Hardly any image has so many candidates of a class. They are counted first, which takes
    onnxruntime 0.2 ms for PicoDet-S-416; only above NMS_TOP_K are they sorted, which takes 7 ms,
    half as long as the network.
    """
    least = builder.constant(threshold, "score_threshold.number")
    is_candidate = builder.add("Greater", [scores, least], "top_k.candidates")
    ones = builder.cast(is_candidate, TensorProto.FLOAT, "top_k.ones")
    counts = builder.reduce_sum(ones, 2, "top_k.counts")
    most = builder.add("ReduceMax", [counts], "top_k.most", keepdims=0)
    is_crowded = builder.add("Greater", [most, builder.scalar(float(NMS_TOP_K))], "top_k.crowded")

    cut = builder.subgraph()
    shape = cut.add("Shape", [scores], "top_k.shape")
    # never more than there are, even in a branch that does not run: runtimes check it too
    num_anchors = cut.slice(shape, 2, 3, 0, "top_k.cells")
    both = cut.add("Concat", [num_anchors, cut.integers([NMS_TOP_K])], "top_k.both", axis=0)
    count = cut.add("ReduceMin", [both], "top_k.count", keepdims=1)
    best, indices = cut.add_multi("TopK", [scores, count], ["top_k.best", "top_k.indices"], axis=2)
    zeros = cut.full(shape, 0, "top_k.nothing")
    cut.add("ScatterElements", [zeros, indices, best], "top_k.cut", axis=2)
    uncut = builder.subgraph()
    uncut.add("Identity", [scores], "top_k.whole")
    return builder.add(
        "If",
        [is_crowded],
        "scores.counted",
        then_branch=cut.build_branch("top_k.cut"),
        else_branch=uncut.build_branch("top_k.whole"),
    )


def _keep_top_k_per_image(
    builder: OnnxBuilder, selected: str, selected_scores: str, scores: str
) -> tuple[str, str]:
    """Positions [N] in `selected` of the best KEEP_TOP_K of each image, and their counts [B].

    `selected` is in the order that the rows are to have, so it suffices to sort positions.
    """
    zero, one = builder.constant(0, "zero", "i8"), builder.constant(1, "one", "i8")
    shape = builder.add("Shape", [scores], "nms.shape")
    batch = builder.squeeze(builder.slice(shape, 0, 1, 0, "nms.batch.side"), 0, "nms.batch")
    image_indices = builder.add("Range", [zero, batch, one], "nms.images")
    column = builder.unsqueeze(image_indices, 1, "nms.images.column")
    image_column = builder.slice(selected, 0, 1, 1, "nms.owners.column")
    image_of_row = builder.squeeze(image_column, 1, "nms.owners")
    is_of_image = builder.add("Equal", [column, image_of_row], "nms.own")  # [B, n]
    table = builder.add("Where", [is_of_image, selected_scores, builder.scalar(0.0)], "nms.table")
    # KEEP padding columns, so that TopK always has enough
    padded = builder.add(
        "Pad", [table, builder.integers([0, 0, 0, KEEP_TOP_K])], "nms.table.padded"
    )
    keep = builder.integers([KEEP_TOP_K])
    best, positions = builder.add_multi(
        "TopK", [padded, keep], ["nms.best", "nms.best.positions"], axis=1
    )
    is_candidate = builder.add("Greater", [best, builder.scalar(0.0)], "nms.best.there")
    no_position = builder.constant(NO_POSITION, "none", "i8")
    known = builder.add("Where", [is_candidate, positions, no_position], "nms.best.known")
    ascending, _ = builder.add_multi(
        "TopK", [known, keep], ["nms.ascending", "nms.ascending.order"], axis=1, largest=0
    )
    flat = builder.reshape(ascending, [-1], "nms.in_line")
    is_position = builder.add("Less", [flat, no_position], "nms.taken")
    kept = builder.add("Compress", [flat, is_position], "nms.kept", axis=0)
    ones = builder.cast(is_candidate, TensorProto.FLOAT, "nms.marks")
    counts = builder.reduce_sum(ones, 1, "nums.floats")
    return kept, builder.cast(counts, TensorProto.INT32, "nums")
