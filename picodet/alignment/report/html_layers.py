"""The layers on the page: a card for each guilty one, a row for every one, folded by block."""

from collections.abc import Mapping, Sequence

from picodet.alignment.report.blocks import Block, within
from picodet.alignment.report.formatting import measures, name, number, short, times
from picodet.alignment.report.html_error_plots import error_map, scatter
from picodet.alignment.report.html_network import shade
from picodet.alignment.result import Gap, Layer, Unpaired
from picodet.html import CallKey, table, text

HEADERS = (
    *("layer", "type", "local error", "&times; noise"),
    *("accumulated error", "&times; noise", "status"),
)
PICTURED = 20  # guilty layers that are shown with pictures: a page must stay one that opens


def card(layer: Layer, rank: int) -> str:
    """All that is known of a guilty layer; `rank` counts from 1, worst first."""
    reference = f"; the reference's {text(layer.reference)}" if layer.reference else ""
    pictures = _pictures(layer) if rank <= PICTURED else ""
    diagnosis = f'<p class="diagnosis">{text(layer.diagnosis)}</p>' if layer.diagnosis else ""
    where = f" <b>{text(layer.where)}</b> is wrong." if layer.where else ""
    return (
        f'<article class="card" id="guilty-{rank}"><h3><span class="rank">{rank}</span> '
        f"{text(name(layer))}</h3><p>{text(layer.type)}{reference}.{where}</p>{diagnosis}"
        f'<div class="evidence"><div>{_gap("local", layer.local)}'
        f"{_gap('accumulated', layer.accumulated)}</div>{pictures}</div></article>"
    )


def _pictures(layer: Layer) -> str:
    if layer.picture is None:
        return ""
    gap = layer.local or layer.accumulated
    several = layer.picture.errors.size > 1  # of one place a map says nothing
    shown = error_map(layer.picture, gap.allowed if gap else 0.0) if several else ""
    return f'<div class="pictures">{shown}{scatter(layer.picture)}</div>'


def _gap(kind: str, gap: Gap | None) -> str:
    rows = "".join(f"<dt>{k}</dt><dd>{text(v)}</dd>" for k, v in measures(gap)) if gap else ""
    problem = gap.problem if gap else "not compared"
    said = f'<p class="problem">{text(problem)}</p>' if problem else ""
    return f'<div class="gap"><h4>{kind} error</h4>{said}<dl>{rows}</dl></div>'


def layer_tables(
    folded: Sequence[Block], anchors: Mapping[str, str], ranks: Mapping[CallKey, int]
) -> str:
    """Blocks of guilty layers are open."""
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
        f"{text(within(block, layer))}</td><td>{text(layer.type)}</td>"
        f"{_cells(layer.local)}{_cells(layer.accumulated)}<td>{status}</td></tr>"
    )


def _cells(gap: Gap | None) -> str:
    if gap is None:
        return '<td class="n">-</td><td class="n">-</td>'
    why = text(gap.problem) or f"noise {number(gap.floor)}, allowed {number(gap.allowed)}"
    return (
        f'<td class="n">{short(gap.error)}</td>'
        f'<td class="n" title="{why}">{_swatch(gap)}{times(gap)}</td>'
    )


def _cell(gap: Gap | None) -> str:
    if gap is None:
        return "-"
    times_noise = f", {times(gap)} &times; noise" if gap.error else ""
    return _swatch(gap) + (text(gap.problem) or f"{short(gap.error)}{times_noise}")


def _swatch(gap: Gap) -> str:
    return f'<i class="{shade(gap)}"></i>'


def _status(status: str) -> str:
    return f'<span class="status {status}">{status}</span>'


def unpaired_table(unpaired: Sequence[Unpaired]) -> str:
    """Layers without a partner."""
    rows = "".join(
        f'<tr><td>{u.side}</td><td class="path">{text(u.path)}</td><td>{text(u.type)}</td></tr>'
        for u in unpaired
    )
    return table(("only in", "layer", "type"), rows)
