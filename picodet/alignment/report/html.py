"""A comparison as a page: one file, without scripts, that loads nothing from anywhere."""

from pathlib import Path

from picodet.alignment.report.blocks import Block, blocks
from picodet.alignment.report.formatting import verdict
from picodet.alignment.report.html_depth import depth
from picodet.alignment.report.html_layers import PICTURED, card, layer_tables, unpaired_table
from picodet.alignment.report.html_network import network
from picodet.alignment.result import Comparison, Rung
from picodet.html import definition_list, document, section, table, text

STYLE = Path(__file__).with_name("style.css")


def page(comparison: Comparison) -> str:
    """The whole document; what is worst comes first, the evidence in full comes last."""
    folded = blocks(comparison.layers)
    said = text(verdict(comparison))
    names = f"{text(comparison.model)} against {text(comparison.reference)}"
    content = (
        f'<header class="{_mood(comparison)}"><h1>{said}</h1><p><span class="path">'
        f'{text(comparison.model)}</span> against the reference <span class="path">'
        f"{text(comparison.reference)}</span></p></header>"
        f'<ol id="ladder">{"".join(_rung(rung) for rung in comparison.rungs)}</ol>'
        f"{_of_layers(comparison, folded)}{_unpaired(comparison)}{_sources(comparison)}"
    )
    return document(f"{said}: {names}", STYLE, content)


def _mood(comparison: Comparison) -> str:
    if any(rung.verdict == "differs" for rung in comparison.rungs) or comparison.guilty:
        return "differs"
    return "aligned" if comparison.aligned else "open"


def _rung(rung: Rung) -> str:
    mood = rung.verdict.replace("not compared", "open")
    findings = f'<div class="findings">{_findings(rung)}</div>' if rung.findings else ""
    return (
        f'<li class="{mood}"><h2>{text(rung.name)} <span class="badge">{rung.verdict}</span></h2>'
        f"<p>{text(rung.summary)}</p>{findings}</li>"
    )


def _findings(rung: Rung) -> str:
    diagnosed = any(finding.diagnosis for finding in rung.findings)
    headers = ("what differs", "found", "expected", *(("diagnosis",) if diagnosed else ()))
    rows = [(f.name, f.found, f.expected, f.diagnosis)[: len(headers)] for f in rung.findings]
    cells = ("".join(f"<td>{text(cell)}</td>" for cell in row) for row in rows)
    return table(headers, "".join(f"<tr>{row}</tr>" for row in cells))


def _of_layers(comparison: Comparison, folded: tuple[Block, ...]) -> str:
    if not folded:
        return ""
    anchors = {block.name: f"block-{i}" for i, block in enumerate(folded)}
    ranks = {(layer.path, layer.call): i for i, layer in enumerate(comparison.guilty, 1)}
    cards = "".join(card(layer, i) for i, layer in enumerate(comparison.guilty, 1))
    says = f"Pictures are of the first {PICTURED}." if len(ranks) > PICTURED else ""
    guilty = section("Guilty layers, worst first", cards, says) if cards else ""
    return (
        section(
            "From the picture to the boxes",
            network(folded, comparison.rungs, anchors, ranks),
            "Colour is the worst local error of a block: of its layers alone, each fed with the "
            "reference's input. Point at a block for its numbers; it leads to its row. A number in "
            "red is that of a guilty layer, below.",
        )
        + section(
            "Along the depth",
            depth(comparison.layers, anchors, ranks),
            "Error over the greatest value of each layer, in the order of the forward pass. The "
            "darker band is the noise of rounding, the lighter one above it is what is allowed. An "
            "error of exactly zero lies on the bottom edge; what is not finite, or has another "
            "shape, on the top edge.",
        )
        + guilty
        + section("All layers", layer_tables(folded, anchors, ranks))
    )


def _unpaired(comparison: Comparison) -> str:
    if not comparison.unpaired:
        return ""
    says = "No rule says why these have no partner on the other side; they were not compared."
    return section("Without a partner", unpaired_table(comparison.unpaired), says)


def _sources(comparison: Comparison) -> str:
    return section("What is allowed", f"<p>{text(comparison.tolerance)}</p>") + section(
        "What the numbers depend on", definition_list(comparison.environment.items())
    )
