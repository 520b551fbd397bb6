"""NMS as Paddle does it, in operators of ONNX: boxes and scores -> what is kept.

Exactly picodet.ops.nms.multiclass_nms, for several pictures at once: scores greater than the
threshold count; of each class the best TOP_K go on; a box goes if a better one of its class
overlaps it by more than the threshold; the best KEEP of all classes stay, class by class, best
score first; equal scores by class, then by cell.
"""

from onnx import TensorProto

from picodet.exporter.onnx_builder import GraphWriter

TOP_K = 1000  # of a class go into the NMS
KEEP = 100  # of a picture come out
NONE = 2**31 - 1  # a position beyond all others


def write_detections(
    writer: GraphWriter,
    boxes: str,
    scores: str,
    scale_factor: str | None,
    score_threshold: float,
    iou_threshold: float,
    cells: int | None,
) -> tuple[str, str]:
    """Rows [N, 6] of class, score and xyxy, picture after picture, and their numbers [B] int32.

    boxes [B, A, 4], scores [B, C, A], scale_factor [B, 2] (y, x): boxes are divided by it before
    they are compared. cells: A, where it is known.
    """
    if scale_factor:
        factors = writer.add(
            "Gather", [scale_factor, writer.integers([1, 0, 1, 0])], "scale_factor.xyxy", axis=1
        )
        spread = writer.unsqueeze(factors, 1, "scale_factor.of_boxes")
        boxes = writer.add("Div", [boxes, spread], "boxes.in_picture")
    if cells is None or cells > TOP_K:
        scores = _best_of_each_class(writer, scores, score_threshold)
    selected = writer.add(  # [n, 3]: picture, class, cell; by picture, then class, then score
        "NonMaxSuppression",
        [
            *(boxes, scores, writer.integers([KEEP])),
            writer.constant([iou_threshold], "iou_threshold"),
            writer.constant([score_threshold], "score_threshold"),
        ],
        "nms.selected",
    )
    selected_scores = writer.add("GatherND", [scores, selected], "nms.scores")  # [n]
    kept, counts = _best_of_each_picture(writer, selected, selected_scores, scores)

    places = writer.add("Gather", [selected, kept], "rows.places", axis=0)
    labels = writer.slice(places, 1, 2, 1, "rows.labels")
    corners = writer.add("Gather", [places, writer.integers([0, 2])], "rows.cells", axis=1)
    row_scores = writer.add("Gather", [selected_scores, kept], "rows.scores", axis=0)
    parts = [
        writer.cast(labels, TensorProto.FLOAT, "rows.classes"),
        writer.unsqueeze(row_scores, 1, "rows.column"),
        writer.add("GatherND", [boxes, corners], "rows.boxes"),
    ]
    return writer.add("Concat", parts, "rows", axis=1), counts


def _best_of_each_class(writer: GraphWriter, scores: str, threshold: float) -> str:
    """Scores [B, C, A] with 0 for all but the best TOP_K of a class, lower cells first on a tie.

    Hardly a picture has a class with so many candidates: they are counted, which takes 0.2 ms of
    onnxruntime for PicoDet-S-416, and sorted only then, which takes 7 ms, half as long as the
    network.
    """
    least = writer.constant(threshold, "score_threshold.number")
    counted = writer.add("Greater", [scores, least], "top_k.candidates")
    ones = writer.cast(counted, TensorProto.FLOAT, "top_k.ones")
    counts = writer.reduce_sum(ones, 2, "top_k.counts")
    most = writer.add("ReduceMax", [counts], "top_k.most", keepdims=0)
    crowded = writer.add("Greater", [most, writer.number(float(TOP_K))], "top_k.crowded")

    cut = writer.inner()
    shape = cut.add("Shape", [scores], "top_k.shape")
    # never more than there are, not even in a branch that does not run: runtimes look ahead
    cells = cut.slice(shape, 2, 3, 0, "top_k.cells")
    both = cut.add("Concat", [cells, cut.integers([TOP_K])], "top_k.both", axis=0)
    count = cut.add("ReduceMin", [both], "top_k.count", keepdims=1)
    best, places = cut.several("TopK", [scores, count], ["top_k.best", "top_k.places"], axis=2)
    nothing = cut.filled(shape, 0, "top_k.nothing")
    cut.add("ScatterElements", [nothing, places, best], "top_k.cut", axis=2)
    whole = writer.inner()
    whole.add("Identity", [scores], "top_k.whole")
    return writer.add(
        "If",
        [crowded],
        "scores.counted",
        then_branch=cut.branch("top_k.cut"),
        else_branch=whole.branch("top_k.whole"),
    )


def _best_of_each_picture(
    writer: GraphWriter, selected: str, of_selected: str, scores: str
) -> tuple[str, str]:
    """Positions [N] in `selected` of the best KEEP of each picture, ascending, and how many [B].

    `selected` is in the order that the rows are to have, so that sorting positions is all it takes.
    """
    zero, one = writer.constant(0, "zero", "i8"), writer.constant(1, "one", "i8")
    shape = writer.add("Shape", [scores], "nms.shape")
    batch = writer.squeeze(writer.slice(shape, 0, 1, 0, "nms.batch.side"), 0, "nms.batch")
    pictures = writer.add("Range", [zero, batch, one], "nms.pictures")
    column = writer.unsqueeze(pictures, 1, "nms.pictures.column")
    owners = writer.slice(selected, 0, 1, 1, "nms.owners.column")
    owner = writer.squeeze(owners, 1, "nms.owners")
    own = writer.add("Equal", [column, owner], "nms.own")  # [B, n]
    table = writer.add("Where", [own, of_selected, writer.number(0.0)], "nms.table")
    # KEEP columns of nothing, so that there are always enough to choose from
    padded = writer.add("Pad", [table, writer.integers([0, 0, 0, KEEP])], "nms.table.padded")
    keep = writer.integers([KEEP])
    best, positions = writer.several(
        "TopK", [padded, keep], ["nms.best", "nms.best.positions"], axis=1
    )
    is_there = writer.add("Greater", [best, writer.number(0.0)], "nms.best.there")
    none = writer.constant(NONE, "none", "i8")
    known = writer.add("Where", [is_there, positions, none], "nms.best.known")
    ascending, _ = writer.several(
        "TopK", [known, keep], ["nms.ascending", "nms.ascending.order"], axis=1, largest=0
    )
    in_line = writer.reshape(ascending, [-1], "nms.in_line")
    taken = writer.add("Less", [in_line, none], "nms.taken")
    kept = writer.add("Compress", [in_line, taken], "nms.kept", axis=0)
    marks = writer.cast(is_there, TensorProto.FLOAT, "nms.marks")
    sums = writer.reduce_sum(marks, 1, "nums.floats")
    return kept, writer.cast(sums, TensorProto.INT32, "nums")
