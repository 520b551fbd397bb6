"""Diagram of the network: every block in its place, colored by its own error."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from picodet.alignment.report.blocks import ROOT_BLOCK, Block
from picodet.alignment.report.formatting import describe_difference
from picodet.alignment.result import Difference, Stage
from picodet.html import CallKey, svg_title, text

HEIGHT = 32  # of a box, pixels
ROW = 84  # from one level to the next, with room for a box between them
TOP = 46  # of the boxes; captions are above
STRIDES = ("1/8", "1/16", "1/32", "1/64")

# Layout of the neck: column, row (a level, or between two), number of further rows spanned.
NECK_LAYOUT = {
    "neck.conv_t": (0, 0, 2),
    "neck.upsample": (1, 1.5, 0),
    "neck.top_down_blocks.0": (1, 1, 0),
    "neck.top_down_blocks.1": (2, 0, 0),
    "neck.downsamples.0": (3, 0.5, 0),
    "neck.bottom_up_blocks.0": (3, 1, 0),
    "neck.downsamples.1": (4, 1.5, 0),
    "neck.bottom_up_blocks.1": (4, 2, 0),
    "neck.first_top_conv": (1, 3, 0),
    "neck.second_top_conv": (5, 2.5, 0),
}
MODEL_PARTS = ("backbone", "neck", "head", ROOT_BLOCK)  # rows of the table without a box
STEMS = {"backbone.stem": "stem", "backbone.max_pool": "pool", "backbone.conv1": "stem"}
# patterns of backbone blocks, and the level of their stage
BACKBONE_STAGES: Mapping[str, Callable[[int], int]] = {
    r"stage(?P<stage>\d)\.block(?P<block>\d+)": lambda stage: stage - 2,  # ESNet, ShuffleNet
    r"blocks(?P<stage>\d)\.(?P<block>\d+)": lambda stage: max(stage - 4, 0),  # LCNet
    r"res(?P<stage>\d)\.(?P<block>res\d\w)": lambda stage: max(stage - 3, 0),  # ResNet
    r"conv(?P<block>(?P<stage>\d+))": lambda conv: (conv > 7) + (conv > 13),  # MobileNet
}
CAPTIONS = {
    "neck.conv_t": "conv_t",
    **{"neck.upsample": "upsample", "neck.first_top_conv": "first top"},
    **{"neck.second_top_conv": "second top"},
    **{f"neck.top_down_blocks.{i}": f"top-down {i}" for i in range(2)},
    **{f"neck.bottom_up_blocks.{i}": f"bottom-up {i}" for i in range(2)},
    **{f"neck.downsamples.{i}": f"down {i}" for i in range(2)},
}
EDGES = (
    ("neck.conv_t", "neck.upsample"),
    ("neck.conv_t", "neck.top_down_blocks.0"),
    ("neck.conv_t", "neck.top_down_blocks.1"),
    ("neck.conv_t", "neck.first_top_conv"),
    ("neck.conv_t", "neck.bottom_up_blocks.1"),
    ("neck.upsample", "neck.top_down_blocks.0"),
    ("neck.top_down_blocks.0", "neck.top_down_blocks.1"),
    ("neck.top_down_blocks.0", "neck.bottom_up_blocks.0"),
    ("neck.top_down_blocks.1", "neck.downsamples.0"),
    ("neck.downsamples.0", "neck.bottom_up_blocks.0"),
    ("neck.bottom_up_blocks.0", "neck.downsamples.1"),
    ("neck.downsamples.1", "neck.bottom_up_blocks.1"),
    ("neck.bottom_up_blocks.1", "neck.second_top_conv"),
    ("neck.first_top_conv", "head level 3"),
    ("neck.top_down_blocks.1", "head level 0"),
    ("neck.bottom_up_blocks.0", "head level 1"),
    ("neck.bottom_up_blocks.1", "head level 2"),
    ("neck.second_top_conv", "head level 3"),
    *((f"head level {i}", "boxes") for i in range(4)),
)
LEGEND = (
    ("exact", "no difference"),
    ("noise", "within the noise of rounding"),
    ("allowed", "within the tolerance"),
    ("over", "beyond the tolerance"),
    ("far", "over 100 times the noise"),
    ("farther", "over 10 000 times the noise"),
    ("broken", "not finite, or another shape"),
    ("unknown", "not compared"),
    ("noise affected", "outlined: wrong only by the errors before it"),
)


@dataclass(frozen=True)
class Box:
    """A rectangle of the diagram; x and y of its upper left corner, pixels."""

    x: float
    y: float
    width: float
    caption: str
    height: float = HEIGHT


def color_class(difference: Difference | None) -> str:
    """The CSS class of a difference's color."""
    if difference is None:
        return "unknown"
    if difference.problem or not difference.error < float("inf"):
        return "broken"
    if difference.ok:
        if not difference.error:
            return "exact"
        return "noise" if difference.error_over_noise <= 1 else "allowed"
    if difference.error_over_noise <= 100:
        return "over"
    return "far" if difference.error_over_noise <= 1e4 else "farther"


def network_diagram(
    folded: Sequence[Block],
    stages: Sequence[Stage],
    anchors: Mapping[str, str],
    ranks: Mapping[CallKey, int],
) -> str:
    """The diagram as SVG. anchors: of blocks on the page; ranks: of guilty layers, worst 1."""
    boxes = _boxes([block.name for block in folded])
    edges = [*_backbone_edges(list(boxes)), *EDGES]
    lines = [_edge(boxes[a], boxes[b]) for a, b in edges if a in boxes and b in boxes]
    elements = [_stage_box(boxes["image"], stages, ("preprocessing",))]
    known = [(boxes[block.name], block) for block in folded if block.name in boxes]
    elements += [_block(box, block, anchors[block.name]) for box, block in known]
    elements += [_badges(box, block, ranks) for box, block in known]
    elements += [_stage_box(boxes["boxes"], stages, ("heads", "decoding", "NMS"))]
    width = max(box.x + box.width for box in boxes.values()) + 8
    height = max(box.y + box.height for box in boxes.values()) + 26
    legend = "".join(
        f'<li><svg width="22" height="14"><rect class="box {name}" x="2" y="2" width="18" '
        f'height="10" rx="2"/></svg>{caption}</li>'
        for name, caption in LEGEND
    )
    return (
        f'<div class="scroll"><svg class="network" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'style="min-width:{width * 0.8:.0f}px" role="img" aria-label="the network">'
        '<defs><pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" '
        'patternTransform="rotate(45)"><rect width="6" height="6"/><path d="M0 3H6"/></pattern>'
        f"</defs>{_captions(boxes)}{''.join(lines)}{''.join(elements)}</svg></div>"
        f'<ul class="legend">{legend}</ul>'
    )


def _backbone_position(name: str) -> tuple[int, str] | None:
    """The level of a backbone block, 0 being the finest, and its caption; None for others."""
    for pattern, depth in BACKBONE_STAGES.items():
        if found := re.fullmatch(rf"backbone\.{pattern}", name):
            return depth(int(found["stage"])), found["block"]
    return None


def _boxes(names: Sequence[str]) -> dict[str, Box]:
    """The layout, left to right: image, backbone descending the levels, neck, head, boxes."""
    boxes = {"image": Box(8, TOP, 52, "image")}
    x, level = 72.0, 0
    for name in names:
        if name in STEMS:
            boxes[name] = Box(x, TOP, 44, STEMS[name])
            x += 54
        elif position := _backbone_position(name):
            if position[0] != level:  # starts below the end of the level before
                x, level = x - 41, position[0]
            boxes[name] = Box(x, TOP + ROW * level, 32, position[1])
            x += 41
    neck = x + 26
    for name in names:
        if name in NECK_LAYOUT:
            column, row, rows = NECK_LAYOUT[name]
            y = TOP + ROW * row
            boxes[name] = Box(neck + 82 * column, y, 68, CAPTIONS[name], HEIGHT + ROW * rows)
    head = neck + 82 * 6 if any(name in NECK_LAYOUT for name in names) else x
    for name in names:
        if found := re.fullmatch(r"head level ([0-3])", name):
            boxes[name] = Box(head, TOP + ROW * int(found[1]), 68, f"level {found[1]}")
    boxes["boxes"] = Box(head + 94, TOP, 52, "boxes", HEIGHT + 3 * ROW)
    parents = {name for name in names if any(other.startswith(f"{name}.") for other in names)}
    others = [name for name in names if name not in {*boxes, *parents, *MODEL_PARTS}]
    for i, name in enumerate(others):  # of an unknown network: below, without edges
        row, column = divmod(i, 9)
        boxes[name] = Box(8 + 140 * column, TOP + ROW * (4 + row / 2), 132, name[-20:])
    return boxes


def _backbone_edges(names: Sequence[str]) -> list[tuple[str, str]]:
    """The backbone's chain; the end of each stage also leads to the neck."""
    chain = ["image", *(name for name in names if name in STEMS or _backbone_position(name))]
    edges = list(pairwise(chain))
    positions = {name: _backbone_position(name) for name in chain}
    ends = [a for a, b in edges if (p := positions[a]) and (q := positions[b]) and p[0] != q[0]]
    ends += chain[-1:]
    return edges + [(end, "neck.conv_t") for end in ends]


def _edge(start: Box, end: Box) -> str:
    if start.x == end.x:
        down = start.y < end.y
        x = start.x + start.width / 2
        above, below = (start, end) if down else (end, start)
        ys = (above.y + above.height, below.y)
        return f'<path class="edge" d="M{x:g} {ys[0]:g}V{ys[1]:g}"/>'
    y1 = min(max(end.y, start.y), start.y + start.height - HEIGHT) + HEIGHT / 2
    y2 = min(max(start.y, end.y), end.y + end.height - HEIGHT) + HEIGHT / 2
    x1, x2 = start.x + start.width, end.x
    middle = (x1 + x2) / 2
    return (
        f'<path class="edge" d="M{x1:g} {y1:g}C{middle:g} {y1:g} {middle:g} {y2:g} {x2:g} {y2:g}"/>'
    )


def _block(box: Box, block: Block, anchor: str) -> str:
    style = f"{color_class(block.local)} {block.status}"
    count = len(block.layers)
    lines = [
        f"{block.name}: {count} layer{'s' if count > 1 else ''}, {block.status}",
        f"local error: {describe_difference(block.local)}",
        f"accumulated error: {describe_difference(block.accumulated)}",
    ]
    return _box(box, style, anchor, lines)


def _badges(box: Box, block: Block, ranks: Mapping[CallKey, int]) -> str:
    """The numbers of up to three guilty layers, at the upper right corner."""
    found = [ranks.get((layer.path, layer.call)) for layer in block.layers]
    x, y = box.x + box.width, box.y
    return "".join(
        f'<circle class="badge" cx="{x - 15 * i:g}" cy="{y:g}" r="8"/>'
        f'<text class="badge" x="{x - 15 * i:g}" y="{y + 3.5:g}">{rank}</text>'
        for i, rank in enumerate(sorted(filter(None, found))[:3])
    )


def _stage_box(box: Box, stages: Sequence[Stage], names: tuple[str, ...]) -> str:
    """A box without layers, colored by the worst verdict of its stages."""
    found = [stage for stage in stages if stage.name in names]
    verdict_classes = {"differs": "farther", "not compared": "unknown", "aligned": "allowed"}
    verdicts = {stage.verdict for stage in found}
    style = next(
        (verdict_classes[verdict] for verdict in verdict_classes if verdict in verdicts), "unknown"
    )
    lines = [f"{stage.name}: {stage.verdict}. {stage.summary}" for stage in found]
    return _box(box, style, "stages", lines)


def _box(box: Box, style: str, anchor: str, lines: Sequence[str]) -> str:
    x, y = box.x + box.width / 2, box.y + box.height / 2
    return (
        f'<a href="#{anchor}">{svg_title(lines)}<rect class="box {style}" rx="4" '
        f'x="{box.x:g}" y="{box.y:g}" width="{box.width:g}" height="{box.height:g}"/>'
        f'<text class="on {style}" x="{x:g}" y="{y + 4:g}">{text(box.caption)}</text></a>'
    )


def _captions(boxes: Mapping[str, Box]) -> str:
    """Names of parts, numbers of stages at their first blocks, strides at the head's levels."""
    elements = []
    for part in MODEL_PARTS[:3]:
        found = [box for name, box in boxes.items() if re.match(rf"{part}\b", name)]
        if found:
            left, right = min(b.x for b in found), max(b.x + b.width for b in found)
            elements.append(f'<text class="part" x="{left:g}" y="16">{part}</text>')
            elements.append(f'<path class="part" d="M{left:g} 23H{right:g}"/>')
    for name, box in boxes.items():
        if stage := re.fullmatch(r"backbone\.(?:stage|blocks|res)(\d)\.(?:block1|0|res\da)", name):
            y = box.y + HEIGHT + 15
            elements.append(f'<text class="note" x="{box.x:g}" y="{y:g}">stage {stage[1]}</text>')
        if level := re.fullmatch(r"head level ([0-3])", name):
            x, y = box.x + box.width / 2, box.y + HEIGHT + 15
            stride = STRIDES[int(level[1])]
            elements.append(f'<text class="note mid" x="{x:g}" y="{y:g}">{stride}</text>')
    return "".join(elements)
