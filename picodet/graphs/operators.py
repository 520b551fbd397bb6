"""Operators of a static graph as plain data."""

from dataclasses import dataclass, field

TensorKey = str  # key of a recorded tensor


@dataclass(frozen=True)
class Source:
    """One input of an operator: output `index` of operator `operator`; -1 is the graph's input."""

    operator: int
    index: int = 0


@dataclass(frozen=True)
class Operator:
    """One operator of a static graph; its kind is one of graph.py, whatever the exporter.

    `weights` gives the name of each parameter by its role: weight, bias, running_mean, running_var.
    """

    kind: str
    name: str  # of its first output, as in the graph
    sources: tuple[Source, ...]
    outputs: tuple[TensorKey, ...]
    weights: dict[str, str] = field(default_factory=dict)
