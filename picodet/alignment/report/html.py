"""A comparison as a page: one file, without scripts, that loads nothing from anywhere."""

from pathlib import Path

from picodet.alignment.report.blocks import Block, blocks
from picodet.alignment.report.formatting import verdict
from picodet.alignment.report.html_depth import depth_chart
from picodet.alignment.report.html_layers import (
    MAX_PLOTTED,
    guilty_layer_card,
    layer_tables,
    unpaired_table,
)
from picodet.alignment.report.html_network import network_diagram
from picodet.alignment.result import Comparison, Stage
from picodet.html import definition_list, document, section, table, text

STYLE = Path(__file__).with_name("style.css")


def html_report(comparison: Comparison) -> str:
    """The whole document; what is worst comes first, the evidence in full comes last."""
    folded = blocks(comparison.layers)
    headline = text(verdict(comparison))
    names = f"{text(comparison.model)} against {text(comparison.reference)}"
    content = (
        f'<header class="{_css_class(comparison)}"><h1>{headline}</h1><p><span class="path">'
        f'{text(comparison.model)}</span> against the reference <span class="path">'
        f"{text(comparison.reference)}</span></p></header>"
        f'<ol id="stages">{"".join(_stage(stage) for stage in comparison.stages)}</ol>'
        f"{_layer_sections(comparison, folded)}{_unpaired_section(comparison)}"
        f"{_environment_sections(comparison)}"
    )
    return document(f"{headline}: {names}", STYLE, content)


def _css_class(comparison: Comparison) -> str:
    if any(stage.verdict == "differs" for stage in comparison.stages) or comparison.guilty:
        return "differs"
    return "aligned" if comparison.aligned else "open"


def _stage(stage: Stage) -> str:
    css_class = stage.verdict.replace("not compared", "open")
    findings = f'<div class="findings">{_findings(stage)}</div>' if stage.findings else ""
    return (
        f'<li class="{css_class}"><h2>{text(stage.name)} '
        f'<span class="badge">{stage.verdict}</span></h2>'
        f"<p>{text(stage.summary)}</p>{findings}</li>"
    )


def _findings(stage: Stage) -> str:
    diagnosed = any(finding.diagnosis for finding in stage.findings)
    headers = ("what differs", "found", "expected", *(("diagnosis",) if diagnosed else ()))
    rows = [(f.name, f.found, f.expected, f.diagnosis)[: len(headers)] for f in stage.findings]
    cells = ("".join(f"<td>{text(cell)}</td>" for cell in row) for row in rows)
    return table(headers, "".join(f"<tr>{row}</tr>" for row in cells))


def _layer_sections(comparison: Comparison, folded: tuple[Block, ...]) -> str:
    if not folded:
        return ""
    anchors = {block.name: f"block-{i}" for i, block in enumerate(folded)}
    ranks = {(layer.path, layer.call): i for i, layer in enumerate(comparison.guilty, 1)}
    cards = "".join(guilty_layer_card(layer, i) for i, layer in enumerate(comparison.guilty, 1))
    caption = f"Pictures are of the first {MAX_PLOTTED}." if len(ranks) > MAX_PLOTTED else ""
    guilty = section("Guilty layers, worst first", cards, caption) if cards else ""
    return (
        section(
            "From the picture to the boxes",
            network_diagram(folded, comparison.stages, anchors, ranks),
            "Colour is the worst local error of a block: of its layers alone, each fed with the "
            "reference's input. Point at a block for its numbers; it leads to its row. A number in "
            "red is that of a guilty layer, below.",
        )
        + section(
            "Along the depth",
            depth_chart(comparison.layers, anchors, ranks),
            "Error over the greatest value of each layer, in the order of the forward pass. The "
            "darker band is the noise of rounding, the lighter one above it is what is allowed. An "
            "error of exactly zero lies on the bottom edge; what is not finite, or has another "
            "shape, on the top edge.",
        )
        + guilty
        + section("All layers", layer_tables(folded, anchors, ranks))
    )


def _unpaired_section(comparison: Comparison) -> str:
    if not comparison.unpaired:
        return ""
    caption = "No rule says why these have no partner on the other side; they were not compared."
    return section("Without a partner", unpaired_table(comparison.unpaired), caption)


def _environment_sections(comparison: Comparison) -> str:
    return section("What is allowed", f"<p>{text(comparison.tolerance)}</p>") + section(
        "What the numbers depend on", definition_list(comparison.environment.items())
    )
