"""Reads the tensors of an ONNX file; claimed sizes are checked against the content."""

from math import prod

import numpy as np
from onnx import TensorProto

from picodet.graphs.program import MAX_DIMENSIONS

# by the tensor's type: the field of numbers that are not in raw_data, and their dtype
DTYPES: dict[int, tuple[str, str]] = {
    TensorProto.FLOAT: ("float_data", "<f4"),
    TensorProto.DOUBLE: ("double_data", "<f8"),
    TensorProto.FLOAT16: ("int32_data", "<f2"),
    TensorProto.BFLOAT16: ("int32_data", "<u2"),  # bits; see picodet.formats.precision
    TensorProto.INT64: ("int64_data", "<i8"),
    TensorProto.UINT64: ("uint64_data", "<u8"),
    TensorProto.UINT32: ("uint64_data", "<u4"),
    TensorProto.INT32: ("int32_data", "<i4"),
    TensorProto.INT16: ("int32_data", "<i2"),
    TensorProto.INT8: ("int32_data", "i1"),
    TensorProto.UINT8: ("int32_data", "u1"),
    TensorProto.BOOL: ("int32_data", "?"),
}
BIT_PATTERN_DTYPES = {"<f2": "<u2"}  # fields of integers hold the bits of float16


def array_of(tensor: TensorProto) -> np.ndarray:
    """A tensor as a read-only array. Raises ValueError where its content is not as claimed."""
    name, dims = f"the tensor {tensor.name!r:.60}", tuple(tensor.dims)
    if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
        raise ValueError(
            f"{name} stores its values in another file, which was not opened; "
            "onnx.save(onnx.load(path), path) puts all into one"
        )
    if tensor.data_type not in DTYPES or tensor.HasField("segment"):
        raise ValueError(f"{name} has a dtype that weights do not have")
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
            raise ValueError(f"{name} holds values outside the range of its type")
        array = packed.view(dtype)
    else:
        array = np.frombuffer(tensor.raw_data, dtype)
    return array.reshape(dims)
