"""Paddle's protobuf messages, with only the fields that a graph is read from.

Source: paddle/fluid/framework/framework.proto. Enums are plain integers here, so that values added
by later versions of Paddle are not dropped. Text is bytes: protobuf would return invalid UTF-8 as
bytes without an error; `text` raises one.
"""

from typing import Any, NamedTuple

from google.protobuf import (  # type: ignore[import-untyped]
    descriptor_pb2,
    descriptor_pool,
    message_factory,
)
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

_PACKAGE = "picodet.paddle"
_FIELD = descriptor_pb2.FieldDescriptorProto


class Field(NamedTuple):
    """One field of a message; `kind` is a scalar of protobuf's or another message."""

    number: int
    name: str
    kind: str
    repeated: bool = False


MESSAGES = {
    "ProgramDesc": (Field(1, "blocks", "BlockDesc", repeated=True),),
    "BlockDesc": (
        Field(3, "vars", "VarDesc", repeated=True),
        Field(4, "ops", "OpDesc", repeated=True),
    ),
    "VarDesc": (
        Field(1, "name", "bytes"),
        Field(2, "type", "VarType"),
        Field(3, "persistable", "bool"),
    ),
    "VarType": (Field(1, "type", "int32"), Field(3, "dense_tensor", "DenseTensorDesc")),
    "DenseTensorDesc": (Field(1, "tensor", "TensorDesc"),),
    "TensorDesc": (Field(1, "data_type", "int32"), Field(2, "dims", "int64", repeated=True)),
    "OpDesc": (
        Field(1, "inputs", "OpVar", repeated=True),
        Field(2, "outputs", "OpVar", repeated=True),
        Field(3, "type", "bytes"),
        Field(4, "attrs", "OpAttr", repeated=True),
    ),
    "OpVar": (Field(1, "parameter", "bytes"), Field(2, "arguments", "bytes", repeated=True)),
    "OpAttr": (
        Field(1, "name", "bytes"),
        Field(2, "type", "int32"),
        Field(3, "i", "int32"),
        Field(4, "f", "float"),
        Field(5, "s", "bytes"),
        Field(6, "ints", "int32", repeated=True),
        Field(10, "b", "bool"),
        Field(13, "l", "int64"),
        Field(15, "longs", "int64", repeated=True),
        Field(19, "float64", "double"),
    ),
}
# type of an attribute -> the field of its value; other types are not read
ATTRIBUTE_VALUES = {
    **{0: "i", 1: "f", 2: "s", 3: "ints"},
    **{6: "b", 9: "l", 11: "longs", 15: "float64"},
}
DENSE_TENSOR = 7  # VarType.type of tensors


def _classes() -> dict[str, Any]:
    """The message classes, in a pool of their own, apart from those in Paddle's process."""
    file = descriptor_pb2.FileDescriptorProto(
        name="picodet/paddle.proto", package=_PACKAGE, syntax="proto2"
    )
    for message, fields in MESSAGES.items():
        described = file.message_type.add(name=message)
        for field in fields:
            added = described.field.add(
                name=field.name,
                number=field.number,
                label=_FIELD.LABEL_REPEATED if field.repeated else _FIELD.LABEL_OPTIONAL,
            )
            if field.kind in MESSAGES:
                added.type, added.type_name = _FIELD.TYPE_MESSAGE, f".{_PACKAGE}.{field.kind}"
            else:
                added.type = getattr(_FIELD, f"TYPE_{field.kind.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}"))
        for name in MESSAGES
    }


CLASSES = _classes()


def parse(message: str, data: bytes) -> Any:
    """Parse `data` as a message. Raises ValueError where it is not one."""
    parsed = CLASSES[message]()
    try:
        parsed.ParseFromString(data)
    except DecodeError as error:
        raise ValueError(f"its {len(data):,} bytes are no {message} of Paddle's") from error
    return parsed


def text(value: bytes) -> str:
    """Decode UTF-8. Raises ValueError for other bytes."""
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"a name that is not UTF-8: {value[:40]!r}") from error
