"""Writes the files of an inference folder byte for byte, without Paddle and without our readers."""

import json
import pickle
import struct

import numpy as np

CODES = {"int32": 2, "int64": 3, "float16": 4, "float32": 5, "float64": 6, "uint16": 22}
PIR_TYPES = {"float32": "t_f32", "float16": "t_f16", "uint16": "t_bf16", "int64": "t_i64"}

SETTINGS = """\
Preprocess:
- {type: Resize, target_size: [320, 416], interp: 1, keep_ratio: false}
- {type: NormalizeImage, mean: [0.4, 0.5, 0.6], std: [0.1, 0.2, 0.3], is_scale: true}
- {type: Permute}
label_list: [cat, dog]
"""


def varint(number):
    number %= 2**64
    encoded = b""
    while number > 127:
        encoded += bytes([number & 127 | 128])
        number >>= 7
    return encoded + bytes([number])


def field(number, value):
    """One field of a protobuf message."""
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack("<f", value)
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def description(shape, code):
    """A TensorDesc."""
    return field(1, code) + b"".join(field(2, side) for side in shape)


def variable(name, shape, code=5, persistable=False, kind=7):
    tensor = field(3, field(1, description(shape, code)))
    return field(1, name) + field(2, field(1, kind) + tensor) + field(3, int(persistable))


def slots(number, names_by_slot):
    found = b""
    for slot, one_or_more in names_by_slot.items():
        names = [one_or_more] if isinstance(one_or_more, str) else one_or_more
        found += field(number, field(1, slot) + b"".join(field(2, name) for name in names))
    return found


def attribute(name, value):
    kind, number = {bool: (6, 10), int: (0, 3), float: (1, 4), str: (2, 5)}.get(type(value), (3, 6))
    values = value if isinstance(value, list) else [value]
    written = b"".join(field(number, value) for value in values)
    return field(4, field(1, name) + field(2, kind) + written)


def operator(kind, inputs, outputs, **attributes):
    """An OpDesc."""
    written = b"".join(attribute(name, value) for name, value in attributes.items())
    return slots(1, inputs) + slots(2, outputs) + field(3, kind) + written


def feed(name, col=0):
    return operator("feed", {"X": "feed"}, {"Out": name}, col=col)


def fetch(name, col=0):
    return operator("fetch", {"X": name}, {"Out": "fetch"}, col=col)


def block(operators, variables):
    return b"".join(field(3, each) for each in variables) + b"".join(
        field(4, each) for each in operators
    )


def pdmodel(operators, weights, inputs=(("image", (-1, 3, 8, 8)),), intermediates=()):
    """A ProgramDesc of one block; feeds and fetches are among the operators.

    What operators make is declared for Paddle alone.
    """
    variables = [variable("feed", (), kind=9, persistable=True)]
    variables += [variable("fetch", (), kind=10, persistable=True)]
    variables += [
        variable(name, shape) for name, shape in (*inputs, *((m, ()) for m in intermediates))
    ]
    for name, array in weights.items():
        variables.append(variable(name, array.shape, CODES[array.dtype.name], persistable=True))
    head = field(1, 0) + field(2, -1)
    return field(1, head + block(operators, variables)) + field(4, field(1, 2006002))


def tensor(array, levels=()):
    """One tensor of a .pdiparams."""
    described = description(array.shape, CODES[array.dtype.name])
    details = b"".join(struct.pack("<Q", len(level)) + level for level in levels)
    return (
        struct.pack("<IQ", 0, len(levels))
        + details
        + struct.pack("<Ii", 0, len(described))
        + described
        + array.tobytes()
    )


def pdiparams(weights):
    return b"".join(tensor(weights[name]) for name in sorted(weights))


class PirBuilder:
    """A program of Paddle 3, built operator by operator; values are numbers."""

    def __init__(self):
        self.operators = []
        self.count = 0

    def add(self, kind, operands=(), results=1, /, **attributes):
        """Add an operator; returns the numbers of its results."""
        shape = attributes.get("shape", ())
        types = [value_type(shape)] * results if isinstance(results, int) else results
        numbers = [self._number() for _ in types]
        written = {
            "#": kind,
            "A": [{"N": name, "AT": pir_attribute(value)} for name, value in attributes.items()],
            "I": [{"%": number} for number in operands],
            "O": [{"%": n, "TT": of} for n, of in zip(numbers, types, strict=True)],
            "OA": [],
        }
        self.operators.append(written)
        return numbers[0] if results == 1 else numbers

    def weight(self, name, array):
        number = self._number()
        kind = value_type(array.shape, PIR_TYPES[array.dtype.name])
        written = {"#": "p", "A": [0, 1, 1, name], "DA": [], "O": {"%": number, "TT": kind}}
        self.operators.append(written)
        return number

    def input(self, name, shape):
        return self.add("1.data", name=name, shape=shape, **ignored_attributes("float32"))

    def numbers(self, *values):
        return self.add("1.full_int_array", value=list(values), **ignored_attributes("int64"))

    def number(self, value):
        if value is None:
            return 0
        return self.add("1.full", shape=(1,), value=value, **ignored_attributes("float32"))

    def content(self):
        block = {"#": "block_0", "args": [], "ops": self.operators}
        program = {"regions": [{"#": "region_0", "blocks": [block]}]}
        written = {
            "base_code": {"magic": "pir", "trainable": True, "version": 4},
            "program": program,
        }
        return json.dumps(written).encode()

    def _number(self):
        self.count += 1
        return self.count


def value_type(shape, kind="t_f32"):
    return {"#": "0.t_dtensor", "D": [{"#": f"0.{kind}"}, list(shape), "NCHW", [], 0]}


def ignored_attributes(dtype):
    """Attributes that Paddle needs and picodet does not."""
    place = {"#": "1.a_place", "D": [1, 0, ""]}
    return {"dtype": {"#": "1.a_dtype", "D": dtype}, "place": place}


def pir_attribute(value):
    if isinstance(value, dict):
        return value
    if isinstance(value, list):
        return {"#": "0.a_array", "D": [{"#": "0.a_i64", "D": number} for number in value]}
    kind = {bool: "a_bool", int: "a_i32", float: "a_f32", str: "a_str"}.get(type(value))
    if isinstance(value, tuple):
        return {"#": "1.a_intarray", "D": list(value)}
    return {"#": f"0.{kind}", "D": value}


def info(names):
    """A .pdiparams.info."""
    facts = {
        static: {"structured_name": name, "stop_gradient": False, "trainable": True}
        for static, name in names.items()
    }
    return pickle.dumps(facts, 2)


EPSILON = 2.0**-10
WEIGHTS = {
    "conv_0.w_0": np.arange(12, dtype=np.float32).reshape(4, 3, 1, 1),
    "conv_0.b_0": np.arange(4, dtype=np.float32),
    **{f"bn_0.{role}": np.full(4, i, np.float32) for i, role in enumerate("wbmv")},
}


def small_pdmodel():
    """conv, its bias, batch_norm, hard_swish, pool, and the scale that exports end with."""
    bn = {"X": "c", "Scale": "bn_0.w", "Bias": "bn_0.b", "Mean": "bn_0.m", "Variance": "bn_0.v"}
    outputs = {"Y": "n", "MeanOut": "bn_0.m", "VarianceOut": "bn_0.v"}
    outputs |= {"SavedMean": "s", "SavedVariance": "t"}
    add = {"X": "d", "Y": "conv_0.b_0"}
    pool = {"pooling_type": "avg", "adaptive": True, "ksize": [1, 1]}
    operators = [
        feed("image"),
        operator("conv2d", {"Input": "image", "Filter": "conv_0.w_0", "Bias": []}, {"Output": "d"}),
        operator("elementwise_add", add, {"Out": "c"}, axis=1),
        operator("batch_norm", bn, outputs, epsilon=EPSILON),
        operator("hard_swish", {"X": "n"}, {"Out": "h"}, threshold=6.0, scale=6.0, offset=3.0),
        operator("pool2d", {"X": "h"}, {"Out": "p"}, **pool),
        operator("scale", {"X": "p"}, {"Out": "out"}, scale=1.0, bias=0.0),
        fetch("out"),
    ]
    return pdmodel(operators, WEIGHTS, intermediates=["d", "c", "n", "s", "t", "h", "p", "out"])


QUANTIZED = {
    "norm.w": np.full((1, 3, 1, 1), 0.25, np.float32),
    "conv_0.w_0": np.arange(12, dtype=np.float32).reshape(4, 3, 1, 1),
    "conv_0.w_0@scale": np.full(4, 2, np.float32),
    "conv_0.w_0@zero_point": np.zeros(4, np.int32),
    "conv_1.w_0": np.arange(16, dtype=np.float32).reshape(4, 4, 1, 1),
    "scales": np.full(4, 2, np.float32),
}


def quantized_pdmodel():
    """A normalization, two quantized convolutions, and a loop over what they make."""
    stored = {"X": "conv_0.w_0", "Scale": "conv_0.w_0@scale", "ZeroPoint": "conv_0.w_0@zero_point"}
    fake = "fake_quantize_dequantize_moving_average_abs_max"
    operators = [
        feed("image"),
        operator("elementwise_mul", {"X": "image", "Y": "norm.w"}, {"Out": "x"}, axis=-1),
        operator(fake, {"X": "x", "InScale": "scales"}, {"Out": "q", "OutScale": "scales"}),
        operator("dequantize_linear", stored, {"Y": "w"}, quant_axis=0, bit_length=8),
        operator("conv2d", {"Input": "q", "Filter": "w"}, {"Output": "y"}),
        operator("leaky_relu", {"X": "y"}, {"Out": "r"}, alpha=0.01),
        operator("conv2d", {"Input": "r", "Filter": "conv_1.w_0"}, {"Output": "z"}),
        operator(
            "fake_channel_wise_dequantize_max_abs",
            {"X": "z", "Scales": ["scales"]},
            {"Out": "d"},
        ),
        operator("while", {"X": ["d", "r"], "Condition": "r"}, {"Out": ["d", "out"]}),
        fetch("out"),
    ]
    made = ["x", "q", "w", "y", "r", "z", "d", "out"]
    return pdmodel(operators, QUANTIZED, intermediates=made)


def small_pir():
    """The same as Paddle 3 writes it."""
    program = PirBuilder()
    numbers = {name: program.weight(name, array) for name, array in reversed(WEIGHTS.items())}
    image = program.input("image", (-1, 3, 8, 8))
    place = {"struct_name": "/Net/"}
    value = program.add("1.conv2d", [image, numbers["conv_0.w_0"]], **place)
    bias = program.add("1.reshape", [numbers["conv_0.b_0"], program.numbers(1, 4, 1, 1)], **place)
    value = program.add("1.add", [value, bias], **place)
    norm = [value, *(numbers[f"bn_0.{role}"] for role in "mvwb")]
    value = program.add("1.batch_norm_", norm, 6, epsilon=EPSILON, **place)[0]
    value = program.add("1.hardswish", [value], **place)
    pool = {"pooling_type": "avg", "adaptive": True, "global_pooling": False}
    value = program.add("1.pool2d", [value, program.numbers(1, 1)], **pool)
    value = program.add("1.scale", [value, program.number(1.0)], bias=0.0)
    program.add("1.fetch", [value], name="fetch_name_0", col=0)
    return program.content()
