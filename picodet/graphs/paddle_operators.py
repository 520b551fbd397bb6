"""How both of Paddle's program formats write the operators of graph.py.

A `.pdmodel` identifies inputs and outputs of an operator by name (slots), a `.json` by position.
An attribute in one may be an operand in the other.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from picodet.errors import GraphError
from picodet.graphs.graph import Node


class Operand(NamedTuple):
    """An input of an operator."""

    slot: str
    position: int


class Setting(NamedTuple):
    """An attribute of an operator."""

    value_type: type  # float, bool, str, int, or tuple of integers
    pdmodel_name: str  # attribute in a .pdmodel
    pir_source: (
        str | int | None
    )  # attribute in a .json, or position of the operand; None for neither
    slots: tuple[str, ...] = ()  # in a .pdmodel, operands that override it
    default: Any = None  # where a .pdmodel does not write it


class OperatorSpec(NamedTuple):
    """How Paddle writes an operator; other attributes are ignored."""

    kind: str
    names: tuple[str, ...]  # in both formats; without the _ of in-place operators
    inputs: tuple[Operand, ...] = (Operand("X", 0),)
    output: str = "Out"  # in a .json the first one
    weights: Mapping[str, Operand] = {}  # by role
    settings: Mapping[str, Setting] = {}


_BINARY = (Operand("X", 0), Operand("Y", 1))
_QUANTIZED = (Operand("X", 0), Operand("Scale", 1), Operand("ZeroPoint", 2))
_AXIS = {"axis": Setting(int, "axis", None, default=-1)}

OPERATOR_SPECS = (
    OperatorSpec(
        "conv",
        ("conv2d", "depthwise_conv2d"),
        inputs=(Operand("Input", 0),),
        output="Output",
        weights={"weight": Operand("Filter", 1), "bias": Operand("Bias", 2)},
        settings={
            "stride": Setting(tuple, "strides", "strides"),
            "padding": Setting(tuple, "paddings", "paddings"),
            "algorithm": Setting(str, "padding_algorithm", "padding_algorithm"),
            "dilation": Setting(tuple, "dilations", "dilations"),
            "groups": Setting(int, "groups", "groups"),
        },
    ),
    OperatorSpec(
        "batch_norm",
        ("batch_norm",),
        output="Y",
        weights={
            "weight": Operand("Scale", 3),
            "bias": Operand("Bias", 4),
            "running_mean": Operand("Mean", 1),
            "running_var": Operand("Variance", 2),
        },
        settings={"epsilon": Setting(float, "epsilon", "epsilon", default=1e-5)},
    ),
    OperatorSpec(
        "hardswish",
        ("hard_swish", "hardswish"),
        settings={
            "threshold": Setting(float, "threshold", None, default=6.0),
            "scale": Setting(float, "scale", None, default=6.0),
            "offset": Setting(float, "offset", None, default=3.0),
        },
    ),
    OperatorSpec(
        "hardsigmoid",
        ("hard_sigmoid", "hardsigmoid"),
        settings={
            "slope": Setting(float, "slope", "slope", default=0.2),
            "offset": Setting(float, "offset", "offset", default=0.5),
        },
    ),
    OperatorSpec(
        "clip",
        ("clip",),
        settings={
            "low": Setting(float, "min", 1, ("Min",)),
            "high": Setting(float, "max", 2, ("Max",)),
        },
    ),
    OperatorSpec("relu", ("relu",)),
    OperatorSpec("relu6", ("relu6",)),
    OperatorSpec("sigmoid", ("sigmoid",)),
    OperatorSpec("swish", ("swish",)),
    OperatorSpec("softmax", ("softmax",)),
    OperatorSpec("sqrt", ("sqrt",)),
    OperatorSpec(
        "pow",
        ("pow",),
        settings={"exponent": Setting(float, "factor", "y", ("FactorTensor",), 1.0)},
    ),
    OperatorSpec("add", ("elementwise_add", "add"), _BINARY, settings=_AXIS),
    OperatorSpec("sub", ("elementwise_sub", "subtract"), _BINARY, settings=_AXIS),
    OperatorSpec("mul", ("elementwise_mul", "multiply"), _BINARY, settings=_AXIS),
    OperatorSpec("div", ("elementwise_div", "divide"), _BINARY, settings=_AXIS),
    OperatorSpec("max", ("elementwise_max", "maximum"), _BINARY, settings=_AXIS),
    OperatorSpec("min", ("elementwise_min", "minimum"), _BINARY, settings=_AXIS),
    OperatorSpec("pow", ("elementwise_pow",), _BINARY, settings=_AXIS),
    OperatorSpec("matmul", ("matmul", "matmul_v2"), _BINARY),
    OperatorSpec("concat", ("concat",)),
    OperatorSpec(
        "split",
        ("split",),
        settings={"sections": Setting(tuple, "sections", 1, ("SectionsTensorList",))},
    ),
    OperatorSpec("split", ("split_with_num",)),
    OperatorSpec(
        "pool",
        ("pool2d",),
        settings={
            "pooling": Setting(str, "pooling_type", "pooling_type", default="max"),
            "whole": Setting(bool, "global_pooling", "global_pooling", default=False),
            "adaptive": Setting(bool, "adaptive", "adaptive", default=False),
            "size": Setting(tuple, "ksize", 1),
        },
    ),
    OperatorSpec("upsample", ("nearest_interp", "nearest_interp_v2")),
    OperatorSpec(
        "reshape",
        ("reshape", "reshape2"),
        settings={"shape": Setting(tuple, "shape", 1, ("Shape", "ShapeTensor"))},
    ),
    OperatorSpec(
        "transpose",
        ("transpose", "transpose2"),
        settings={"permutation": Setting(tuple, "axis", "perm")},
    ),
    OperatorSpec(
        "scale",
        ("scale",),
        settings={
            "factor": Setting(float, "scale", 1, ("ScaleTensor",), 1.0),
            "bias": Setting(float, "bias", "bias", default=0.0),
        },
    ),
    OperatorSpec("identity", ("assign", "share_data")),
    OperatorSpec(
        "leaky_relu",
        ("leaky_relu",),
        settings={"slope": Setting(float, "alpha", "negative_slope", default=0.02)},
    ),
    OperatorSpec(
        "fake_quantization",
        (
            "fake_quantize_dequantize_abs_max",
            "fake_quantize_dequantize_moving_average_abs_max",
            "fake_channel_wise_quantize_dequantize_abs_max",
            "moving_average_abs_max_scale",
            "fake_quantize_abs_max",
            "fake_quantize_range_abs_max",
            "fake_quantize_moving_average_abs_max",
            "fake_channel_wise_quantize_abs_max",
        ),
    ),
    OperatorSpec(  # of what a convolution of integers makes
        "output_dequantization",
        ("fake_channel_wise_dequantize_max_abs",),
        (Operand("X", 0), Operand("Scales", 1)),
    ),
    OperatorSpec(
        "output_dequantization",
        ("fake_dequantize_max_abs",),
        (Operand("X", 0), Operand("Scale", 1)),
        settings={"max_range": Setting(float, "max_range", "max_range", default=127.0)},
    ),
    OperatorSpec("quantize", ("quantize_linear",), _QUANTIZED, "Y"),
    OperatorSpec(
        "dequantize",
        ("dequantize_linear",),
        _QUANTIZED,
        "Y",
        settings={
            "axis": Setting(int, "quant_axis", "quant_axis", default=-1),
            "bits": Setting(int, "bit_length", "bit_length", default=8),
        },
    ),
    OperatorSpec(
        "nms",
        ("multiclass_nms3",),
        (Operand("BBoxes", 0), Operand("Scores", 1)),
        settings={
            "score_threshold": Setting(float, "score_threshold", "score_threshold"),
            "iou_threshold": Setting(float, "nms_threshold", "nms_threshold"),
            "top_k": Setting(int, "nms_top_k", "nms_top_k"),
            "keep_top_k": Setting(int, "keep_top_k", "keep_top_k"),
        },
    ),
)
SPEC_BY_NAME = {name: spec for spec in OPERATOR_SPECS for name in spec.names}


def find_spec(name: str) -> OperatorSpec | None:
    """The spec of an operator by its Paddle name; None for operators that keep that name."""
    return SPEC_BY_NAME.get(name.rstrip("_"))


def check_setting(name: str, setting: Setting, value: Any) -> Any:
    """A setting's value in its type; None stays None. Raises GraphError for another type."""
    if value is None:
        return None
    fits = isinstance(value, setting.value_type)
    if setting.value_type is float:
        fits = isinstance(value, int | float) and not isinstance(value, bool)
        value = float(value) if fits else value
    elif setting.value_type is tuple:
        fits = fits and all(type(number) is int for number in value)
    if not fits:
        found = f"{type(value).__name__} {value!r:.40}"
        raise GraphError(
            f"the {name} of an operator is {found}; {setting.value_type.__name__} expected"
        )
    return value


def make_node(
    spec: OperatorSpec,
    inputs: tuple[str, ...],
    outputs: tuple[str, ...],
    weights: Mapping[str, str],
    values: Mapping[str, Any],
) -> Node:
    """The operator as a node; `values` are its settings, None for those computed at run time."""
    if len(inputs) < len(spec.inputs) or not outputs:
        made = outputs[0] if outputs else "nothing"
        raise GraphError(f"an operator {spec.names[0]} has too few inputs to make {made}")
    known = {name: value for name, value in values.items() if value is not None}
    match spec.kind:
        case "conv":
            algorithm = known.pop("algorithm", "EXPLICIT")
            if "padding" in known:
                known["padding"] = _padding_tlbr(known["padding"], algorithm)
            return Node("conv", inputs, outputs, weights, known)
        case "pool":
            one = known.get("adaptive") and known.get("size") == (1, 1)
            kind = _pool_kind(known.get("pooling", "max"), bool(known.get("whole") or one))
            return Node(kind, inputs, outputs)
        case "scale":  # an export has an identity before each output
            nothing = (known.get("factor"), known.get("bias", 0)) == (1, 0)
            return Node("identity" if nothing else "scale", inputs, outputs)
        case "split":
            sections = known.get("sections", ())
            if len(sections) not in (0, len(outputs)):
                raise GraphError(f"a split into {list(sections)} makes {len(outputs)} tensors")
            return Node("split", inputs, outputs, settings=known if sections else {})
        case "dequantize":
            levels = 2 ** (min(max(known.get("bits", 8), 2), 32) - 1) - 1
            # an axis of -1 is one scale for all
            known = {"axis": max(known.get("axis", 0), 0), "levels": float(levels)}
        case "hardswish":
            usual = set(known.items()) <= {("threshold", 6), ("scale", 6), ("offset", 3)}
            return Node("hardswish" if usual else "other_hardswish", inputs, outputs)
    return Node(spec.kind, inputs, outputs, weights, known)


def _padding_tlbr(padding: tuple[int, ...], algorithm: str) -> tuple[int, ...] | str:
    """Top, left, bottom, right from Paddle's (down, across) or (top, bottom, left, right)."""
    if algorithm != "EXPLICIT":
        return algorithm
    match padding:
        case (down, across):
            return down, across, down, across
        case (top, bottom, left, right):
            return top, left, bottom, right
    raise GraphError(f"the paddings of a convolution are {list(padding)}; 2 or 4 expected")


def _pool_kind(pooling: str, whole: bool) -> str:
    """The kind of a pooling; whole: over the whole map, one value per channel."""
    return f"{pooling}_pool" if whole == (pooling == "avg") else f"other_{pooling}_pool"
