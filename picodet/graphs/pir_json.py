"""Reads the `.json` of a Paddle 3 program: its intermediate representation, PIR.

Source: paddle/fluid/pir/serialize_deserialize. An operator is a dictionary: `#` its name after the
number of its dialect, `A` its attributes, `I` its inputs and `O` its outputs, values by numbers;
`p` is a weight. What a graph does not need is not read.
"""

import json
from math import inf, nan
from typing import Any, NamedTuple

from picodet.formats.strict_json import unique_keys
from picodet.graphs.program import MAX_DIMENSIONS, MAX_NAME, MAX_OPERATORS, MAX_PARTS

MAX_BYTES = 5_000_000  # S-416 with its NMS has 0.6 million
PARAMETER = "builtin.parameter"
PARAMETER_NAME = "parameter_name"
DIALECTS = {"0": "builtin", "1": "pd_op"}
NON_FINITE = {"NaN": nan, "INF": inf, "-INF": -inf}  # as Paddle writes them in JSON


class PirValue(NamedTuple):
    """A value that an operator makes; number 0 means none."""

    number: int
    dtype: str = ""  # t_f32; empty for a list
    shape: tuple[int, ...] = ()


class PirOperator(NamedTuple):
    """One operator as in the file."""

    name: str  # pd_op.conv2d
    attributes: dict[str, Any]
    operands: tuple[int, ...]
    results: tuple[PirValue, ...]


def parse(content: bytes) -> list[PirOperator]:
    """The operators of a program. Raises ValueError where it is not one."""
    try:
        data = json.loads(
            content,
            parse_int=_parse_int,
            parse_constant=_reject_constant,
            object_pairs_hook=unique_keys,
        )
    except RecursionError as error:
        raise ValueError("it is nested deeper than any program") from error
    except UnicodeDecodeError as error:
        raise ValueError("it is no text") from error
    match data:
        case {
            "base_code": {"magic": "pir"},
            "program": {"regions": [{"blocks": [{"ops": list(operators)}]}]},
        }:
            pass
        case _:
            raise ValueError("not a program in PIR of one block")
    if len(operators) > MAX_OPERATORS:
        raise ValueError(f"{len(operators):,} operators, too many")
    found, parts = [], 0
    for i, operator in enumerate(operators):
        try:
            found.append(_operator(operator))
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            text = f"{type(error).__name__} {error}"
            raise ValueError(f"operator {i} is invalid: {text}") from error
        parts += len(found[-1].operands) + len(found[-1].results)
        if parts > MAX_PARTS:
            raise ValueError(f"its operators take and make more than {MAX_PARTS:,} values")
    return found


def _operator(data: Any) -> PirOperator:
    match data:
        case {"#": "p", "A": [_, _, _, str(name), *_], "O": result}:
            attributes = {PARAMETER_NAME: _name(name)}
            return PirOperator(PARAMETER, attributes, (), (_value(result),))
        case {"#": str(name), "A": list(attributes), "I": list(operands), "O": list(results)}:
            dialect, _, kind = _name(name).partition(".")
            return PirOperator(
                f"{DIALECTS.get(dialect, dialect)}.{kind}",
                {
                    _name(attribute["N"]): _attribute_value(attribute["AT"])
                    for attribute in attributes
                },
                tuple(_number(operand) for operand in operands),
                tuple(_value(result) for result in results),
            )
    raise ValueError(f"{type(data).__name__} without #, A, I and O")


def _name(name: Any) -> str:
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME:
        raise ValueError(f"expected a name of 1 to {MAX_NAME:,} characters")
    return name


def _number(value: Any) -> int:
    number = value["%"]
    if type(number) is not int:
        raise ValueError("a value without a number")
    return number


def _value(data: Any) -> PirValue:
    number = _number(data)
    match data.get("TT"):
        case {"#": "NULL"} | None:
            return PirValue(0)
        case {"#": str(), "D": [{"#": str(dtype)}, list(dims), *_]}:
            if len(dims) > MAX_DIMENSIONS or not all(type(dim) is int for dim in dims):
                raise ValueError(f"a tensor with an invalid shape of {len(dims):,} dimensions")
            return PirValue(number, dtype.rpartition(".")[2], tuple(dims))
    return PirValue(number)


def _attribute_value(attribute: Any) -> Any:
    """Numbers and text unchanged, arrays of them as tuples; None for anything else."""
    match attribute:
        case {"VD": str(word)}:
            return NON_FINITE[word]
        case {"D": list(items)}:
            return tuple(item.get("D") if isinstance(item, dict) else item for item in items)
        case {"D": bool() | int() | float() | str() as scalar}:
            return scalar
    return None


def _parse_int(digits: str) -> int:
    if len(digits) > 20:
        raise ValueError(f"a number of {len(digits):,} digits")
    return int(digits)


def _reject_constant(word: str) -> float:
    raise ValueError(f"{word}, which is not JSON")
