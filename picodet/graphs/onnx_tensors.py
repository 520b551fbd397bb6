"""Reads the tensors of an ONNX file; what they claim is checked against what they have."""

from math import prod

import numpy as np
from onnx import TensorProto

from picodet.graphs.program import MAX_DIMENSIONS

# by the tensor's type: in which field the numbers are that are not in raw_data, and what they are
DTYPES: dict[int, tuple[str, str]] = {
    TensorProto.FLOAT: ("float_data", "<f4"),
    TensorProto.DOUBLE: ("double_data", "<f8"),
    TensorProto.FLOAT16: ("int32_data", "<f2"),
    TensorProto.BFLOAT16: ("int32_data", "<u2"),  # as picodet.formats.precision knows it
    TensorProto.INT64: ("int64_data", "<i8"),
    TensorProto.UINT64: ("uint64_data", "<u8"),
    TensorProto.UINT32: ("uint64_data", "<u4"),
    TensorProto.INT32: ("int32_data", "<i4"),
    TensorProto.INT16: ("int32_data", "<i2"),
    TensorProto.INT8: ("int32_data", "i1"),
    TensorProto.UINT8: ("int32_data", "u1"),
    TensorProto.BOOL: ("int32_data", "?"),
}
BIT_PATTERN_DTYPES = {"<f2": "<u2"}  # what is written of a number in a field of integers: its bits


def array_of(tensor: TensorProto) -> np.ndarray:
    """The numbers of a tensor, read-only. Raises ValueError where they are not as claimed."""
    name, dims = f"the tensor {tensor.name!r:.60}", tuple(tensor.dims)
    if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
        raise ValueError(
            f"{name} keeps its numbers in another file, which was not opened; "
            "onnx.save(onnx.load(path), path) puts all into one"
        )
    if tensor.data_type not in DTYPES or tensor.HasField("segment"):
        raise ValueError(f"{name} has no dtype of weights")
    if len(dims) > MAX_DIMENSIONS or (min(dims, default=1) < 1 and dims != (0,)):
        raise ValueError(f"{name} has the shape {list(dims[: MAX_DIMENSIONS + 1])}")
    field, dtype = DTYPES[tensor.data_type]
    written = getattr(tensor, field)
    size = len(tensor.raw_data) / np.dtype(dtype).itemsize if not written else len(written)
    if size != prod(dims) or (written and tensor.raw_data):
        raise ValueError(f"{name} of shape {list(dims)} holds {size:,.6g} numbers")
    if written:
        unpacked = np.array(written)
        packed = unpacked.astype(BIT_PATTERN_DTYPES.get(dtype, dtype))
        if not np.array_equal(packed, unpacked, equal_nan=unpacked.dtype.kind == "f"):
            raise ValueError(f"{name} holds numbers beyond its type")
        array = packed.view(dtype)
    else:
        array = np.frombuffer(tensor.raw_data, dtype)
    return array.reshape(dims)
