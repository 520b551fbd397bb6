"""The layers on the page: a card for each guilty one, a row for every one, folded by block."""

from collections.abc import Mapping, Sequence

from picodet.alignment.report.blocks import Block, name_in_block
from picodet.alignment.report.formatting import (
    format_number,
    format_short,
    layer_name,
    measurements,
    times_noise,
)
from picodet.alignment.report.html_error_plots import error_map, scatter
from picodet.alignment.report.html_network import color_class
from picodet.alignment.result import Difference, Layer, Unpaired
from picodet.html import CallKey, table, text

HEADERS = (
    *("layer", "type", "local error", "&times; noise"),
    *("accumulated error", "&times; noise", "status"),
)
MAX_PLOTTED = 20  # guilty layers with plots, so that the page stays small enough to open


def guilty_layer_card(layer: Layer, rank: int) -> str:
    """Details of a guilty layer; `rank` counts from 1, worst first."""
    reference = f"; the reference's {text(layer.reference)}" if layer.reference else ""
    plots = _error_plots(layer) if rank <= MAX_PLOTTED else ""
    diagnosis = f'<p class="diagnosis">{text(layer.diagnosis)}</p>' if layer.diagnosis else ""
    where = f" <b>{text(layer.where)}</b> is wrong." if layer.where else ""
    return (
        f'<article class="card" id="guilty-{rank}"><h3><span class="rank">{rank}</span> '
        f"{text(layer_name(layer))}</h3><p>{text(layer.type)}{reference}.{where}</p>{diagnosis}"
        f'<div class="evidence"><div>{_error_list("local", layer.local)}'
        f"{_error_list('accumulated', layer.accumulated)}</div>{plots}</div></article>"
    )


def _error_plots(layer: Layer) -> str:
    if layer.error_plots is None:
        return ""
    difference = layer.local or layer.accumulated
    has_map = layer.error_plots.errors.size > 1  # a map of one element shows nothing
    map_figure = (
        error_map(layer.error_plots, difference.allowed if difference else 0.0) if has_map else ""
    )
    return f'<div class="plots">{map_figure}{scatter(layer.error_plots)}</div>'


def _error_list(kind: str, difference: Difference | None) -> str:
    rows = (
        "".join(f"<dt>{k}</dt><dd>{text(v)}</dd>" for k, v in measurements(difference))
        if difference
        else ""
    )
    problem = difference.problem if difference else "not compared"
    problem_paragraph = f'<p class="problem">{text(problem)}</p>' if problem else ""
    return f'<div class="difference"><h4>{kind} error</h4>{problem_paragraph}<dl>{rows}</dl></div>'


def layer_tables(
    folded: Sequence[Block], anchors: Mapping[str, str], ranks: Mapping[CallKey, int]
) -> str:
    """A folded table of layers for each block; blocks with guilty layers are open."""
    head = "<div class='fold head'><span>block</span><span>layers</span><span>local error</span>"
    head += "<span>accumulated error</span><span>status</span></div>"
    return head + "".join(_block(block, anchors[block.name], ranks) for block in folded)


def _block(block: Block, anchor: str, ranks: Mapping[CallKey, int]) -> str:
    rows = "".join(_row(block, layer, ranks) for layer in block.layers)
    return (
        f'<details id="{anchor}"{" open" if block.status == "guilty" else ""}>'
        f'<summary class="fold"><span class="path">{text(block.name)}</span>'
        f"<span>{len(block.layers)}</span><span>{_cell(block.local)}</span>"
        f"<span>{_cell(block.accumulated)}</span><span>{_status(block.status)}</span></summary>"
        f"{table(HEADERS, rows)}</details>"
    )


def _row(block: Block, layer: Layer, ranks: Mapping[CallKey, int]) -> str:
    status = _status(layer.status)
    if rank := ranks.get((layer.path, layer.call)):
        status = f'<a href="#guilty-{rank}">{status} {rank}</a>'
    return (
        f'<tr><td class="path" title="reference: {text(layer.reference)}">'
        f"{text(name_in_block(block, layer))}</td><td>{text(layer.type)}</td>"
        f"{_cells(layer.local)}{_cells(layer.accumulated)}<td>{status}</td></tr>"
    )


def _cells(difference: Difference | None) -> str:
    if difference is None:
        return '<td class="n">-</td><td class="n">-</td>'
    tooltip = (
        text(difference.problem)
        or f"noise {format_number(difference.floor)}, allowed {format_number(difference.allowed)}"
    )
    return (
        f'<td class="n">{format_short(difference.error)}</td>'
        f'<td class="n" title="{tooltip}">{_swatch(difference)}{times_noise(difference)}</td>'
    )


def _cell(difference: Difference | None) -> str:
    if difference is None:
        return "-"
    ratio = f", {times_noise(difference)} &times; noise" if difference.error else ""
    return _swatch(difference) + (
        text(difference.problem) or f"{format_short(difference.error)}{ratio}"
    )


def _swatch(difference: Difference) -> str:
    return f'<i class="{color_class(difference)}"></i>'


def _status(status: str) -> str:
    return f'<span class="status {status}">{status}</span>'


def unpaired_table(unpaired: Sequence[Unpaired]) -> str:
    """A table of the layers without a partner."""
    rows = "".join(
        f'<tr><td>{u.side}</td><td class="path">{text(u.path)}</td><td>{text(u.type)}</td></tr>'
        for u in unpaired
    )
    return table(("only in", "layer", "type"), rows)
