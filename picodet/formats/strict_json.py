"""JSON in which a duplicate key is an error: Python silently takes the last one."""

from typing import Any


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The `object_pairs_hook` for json.loads. Raises ValueError for a duplicate key."""
    content = dict(pairs)
    if len(content) < len(pairs):
        raise ValueError("duplicate key")
    return content
