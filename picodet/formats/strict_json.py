"""JSON in which a key that stands twice is an error: Python would take the last one, silently."""

from typing import Any


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """For json.loads, as its object_pairs_hook. Raises ValueError for a key that stands twice."""
    content = dict(pairs)
    if len(content) < len(pairs):
        raise ValueError("a key stands twice in one dictionary")
    return content
