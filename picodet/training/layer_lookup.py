"""Look a layer up in a table by the type of the module that it is in."""

from collections.abc import Iterator, Mapping
from typing import TypeVar

from torch import nn

Entry = TypeVar("Entry")


def nearest(
    layer: nn.Module,
    table: Mapping[type[nn.Module], Entry],
    entry: Entry | None = None,
    name: str = "",
) -> Iterator[tuple[str, nn.Module, Entry]]:
    """Yields (name, layer, entry) for `layer` and all below it that have parameters of their own.

    The entry is that of the innermost enclosing module whose type is in the table. Raises KeyError
    if there is none.
    """
    entry = table.get(type(layer), entry)
    if next(layer.parameters(recurse=False), None) is not None:
        if entry is None:
            raise KeyError(f"{name}: no enclosing module is in the table")
        yield name, layer, entry
    for child_name, child in layer.named_children():
        path = f"{name}.{child_name}" if name else child_name
        yield from nearest(child, table, entry, path)
