"""Our own names as a table, so that our files go through the same checks as everybody's."""

from picodet.config import BackboneConfig, Head, Neck
from picodet.converter.names.name_tables import name_table
from picodet.converter.names.rules import NameTable, Translation
from picodet.converter.names.unmatched_tensors import OURS_ONLY_SUFFIX


class OwnNames(NameTable):
    """Every name that a model of ours has is its own translation."""

    def __init__(self, table: NameTable) -> None:
        self.rules = table.rules
        self._table = table

    def to_ours(self, path: str) -> Translation | None:
        counted = path.removesuffix(OURS_ONLY_SUFFIX)
        there = self._table.to_paddle(path if counted == path else counted + ".running_mean")
        return there and Translation(path, there.rules)

    def to_paddle(self, path: str) -> Translation | None:
        return self.to_ours(path)


def own_table(backbone: BackboneConfig, neck: Neck, head: Head) -> NameTable:
    """The table of a detector's own names."""
    return OwnNames(name_table(backbone, neck, head))
