"""A comparison as an HTML page: one file without scripts that loads nothing."""

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
    """The whole document: verdict and stages, diagrams, guilty layers, all layers."""
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
    caption = f"Plots are shown of the first {MAX_PLOTTED}." if len(ranks) > MAX_PLOTTED else ""
    guilty = section("Guilty layers, worst first", cards, caption) if cards else ""
    return (
        section(
            "From the image to the boxes",
            network_diagram(folded, comparison.stages, anchors, ranks),
            "The color is the worst local error of a block: of its layers alone, each fed with the "
            "reference's input. Hover over a block for its numbers; click for its row. Red numbers "
            "are guilty layers, listed below.",
        )
        + section(
            "Errors by depth",
            depth_chart(comparison.layers, anchors, ranks),
            "Error over the greatest value of each layer, in the order of the forward pass. The "
            "darker band is the noise of rounding, the lighter one above it the tolerance. Errors "
            "of exactly zero are on the bottom edge; NaN, Inf and other shapes on the top edge.",
        )
        + guilty
        + section("All layers", layer_tables(folded, anchors, ranks))
    )


def _unpaired_section(comparison: Comparison) -> str:
    if not comparison.unpaired:
        return ""
    caption = "Only one side has these, and no rule explains why; they were not compared."
    return section("Unpaired layers", unpaired_table(comparison.unpaired), caption)


def _environment_sections(comparison: Comparison) -> str:
    return section("Tolerance", f"<p>{text(comparison.tolerance)}</p>") + section(
        "Environment", definition_list(comparison.environment.items())
    )
