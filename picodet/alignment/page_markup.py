"""What the parts of the page are written with: text from data made harmless, titles, tables."""

from collections.abc import Iterable, Sequence
from html import escape

from picodet.errors import one_line

Call = tuple[str, int]  # path and number: what tells a layer from the others


def text(value: str) -> str:
    """What comes from data, harmless in HTML: in an element as in an attribute."""
    return escape(one_line(value))


def title(lines: Iterable[str]) -> str:
    """What a drawing shows under the pointer."""
    return f"<title>{chr(10).join(text(line) for line in lines)}</title>"


def table(headers: Sequence[str], rows: str) -> str:
    """In a box of its own that scrolls where the window is narrower; all arguments are HTML."""
    head = "".join(f"<th>{header}</th>" for header in headers)
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'
        "</div>"
    )
