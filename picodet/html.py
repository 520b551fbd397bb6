"""Building blocks of HTML pages: document, sections, tables, and escaped text from data."""

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from picodet.errors import one_line

CallKey = tuple[str, int]  # path and number of a layer's call

BASE = Path(__file__).with_name("html_base.css")
# With it a browser runs no scripts and fetches nothing, whatever names the data contain.
CONTENT_SECURITY_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def document(heading: str, style: Path, content: str) -> str:
    """One file that loads nothing; `heading` and `content` are HTML, `style` adds to `BASE`."""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{CONTENT_SECURITY_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{heading}</title><style>{BASE.read_text()}{style.read_text()}</style></head>"
        f"<body><main>{content}</main></body></html>\n"
    )


def section(heading: str, content: str, says: str = "") -> str:
    """A part of the page; all arguments are HTML."""
    intro = f'<p class="intro">{says}</p>' if says else ""
    return f"<section><h2>{heading}</h2>{intro}{content}</section>"


def text(value: str) -> str:
    """Escape text from data for HTML, in an element or an attribute."""
    return escape(one_line(value))


def svg_title(lines: Iterable[str]) -> str:
    """The tooltip of an SVG element."""
    return f"<title>{chr(10).join(text(line) for line in lines)}</title>"


def table(headers: Sequence[str], rows: str) -> str:
    """A table in a box that scrolls where the window is narrower; all arguments are HTML."""
    head = "".join(f"<th>{header}</th>" for header in headers)
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'
        "</div>"
    )


def definition_list(rows: Iterable[tuple[str, str]]) -> str:
    """Names and their values, both escaped."""
    items = "".join(f"<dt>{text(name)}</dt><dd>{text(value)}</dd>" for name, value in rows)
    return f'<dl class="environment">{items}</dl>'
