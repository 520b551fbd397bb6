"""What holds for a layer by the part of the model that it is in."""

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
    """Every layer below and itself that has parameters of its own: its name, it, and the entry.

    The entry is that of the innermost layer around it whose type is in the table. Raises KeyError
    where there is none.
    """
    entry = table.get(type(layer), entry)
    if next(layer.parameters(recurse=False), None) is not None:
        if entry is None:
            raise KeyError(f"{name}: no layer around it is in the table")
        yield name, layer, entry
    for child_name, child in layer.named_children():
        path = f"{name}.{child_name}" if name else child_name
        yield from nearest(child, table, entry, path)
