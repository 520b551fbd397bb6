"""Operators of a static graph as plain data: what they are and what goes in."""

from dataclasses import dataclass, field

TensorKey = str  # of a tensor


@dataclass(frozen=True)
class Source:
    """One input of an operator: output `index` of operator `operator`; -1 is the graph's input."""

    operator: int
    index: int = 0


@dataclass(frozen=True)
class Operator:
    """One operator of a static graph, in the vocabulary of graph.py, whatever it was exported as.

    `weights` gives the name of each parameter by its role: weight, bias, running_mean, running_var.
    """

    kind: str
    name: str  # of its first output, as the graph spells it
    sources: tuple[Source, ...]
    outputs: tuple[TensorKey, ...]
    weights: dict[str, str] = field(default_factory=dict)
