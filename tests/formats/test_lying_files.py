"""Files that say what is not so, or want more than to be read: one clear error for each."""

import pickle
import re
import struct

import bad_files
import numpy as np
import pytest
from bad_files import check, forms


@pytest.fixture
def written(tmp_path):
    bad_files.warm_up()
    return lambda form, **changed: form.write(tmp_path, **changed)


def header(text: str, size: int | None = None, data: int = 0) -> bytes:
    """A .safetensors of this JSON, and so many zeros."""
    written = text.encode()
    return struct.pack("<Q", len(written) if size is None else size) + written + bytes(data)


def entry(shape: str = "[1]", kind: str = "F32", end: int = 4, start: int = 0) -> str:
    return f'{{"dtype":"{kind}","shape":{shape},"data_offsets":[{start},{end}]}}'


MANY = ",".join(f'"a{i}":{entry("[1]", end=4 * i + 4, start=4 * i)}' for i in range(10_001))


LIBRARY = "deserializing header"  # of safetensors' own errors, which differ by version


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (header('{"a":1}', 2**63), LIBRARY),
        (header('{"a":1}', 90_000_000), LIBRARY),
        (header('{"a":' + "[" * 100_000), LIBRARY),
        (header(f'{{"a":{entry("[0,9223372036854775807]", end=0)}}}'), "2 dimensions and 0 values"),
        (header(f'{{"a":{entry("[" + "1," * 69 + "1]")}}}', data=4), "70 dimensions"),
        (header(f'{{"a":{entry(end=10**10)}}}'), "damaged"),
        (header(f'{{"a":{entry()},"b":{entry()}}}', data=4), "damaged"),  # one for both
        (header(f'{{"a":{entry()},"a":{entry(start=4, end=8)}}}', data=8), "damaged"),
        (header(f'{{"a":{entry("[4]", "F8_E4M3")}}}', data=4), f"expected floats|{LIBRARY}"),
        (header("{" + MANY + "}", data=40_004), "10,001 tensors"),
        (header('{"__metadata__":{"picodet":"' + "[" * 100_000 + '"}}'), "recursion depth"),
        (header('{"__metadata__":{"picodet":"' + "1" * 5000 + '"}}'), "4300"),
    ],
)
def test_safetensors_whose_header_lies(written, content, message):
    error = check(written(forms()["few safetensors"], x_safetensors=content)).error
    assert re.search(message, str(error))


LISTS = "x: [" + "1," * 24_000 + "]"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (b"x: !!python/object/apply:os.system ['touch owned']", "python/object/apply"),
        (b"x: !!python/name:os.system", "python/name"),
        (b"a: &a [*a, *a, *a]\n" + bad_files.SETTINGS, "no head"),
        (b"x: " + b"1" * 5000 + b"\n" + bad_files.SETTINGS, "4300 digits"),
        (LISTS.encode() + b"\n" + bad_files.SETTINGS, "no head"),  # read, and then the program
        (bad_files.SETTINGS.replace(b"320", b"0x" + b"f" * 9000), "no head"),
        (bad_files.SETTINGS.replace(b"0.4", b"1" * 400), "no head"),
        (bad_files.SETTINGS.replace(b"cat", b"\xff"), "cannot be read as settings in YAML"),
    ],
)
def test_settings_that_want_more_than_to_be_read(written, settings, message):
    error = check(written(forms()["pdmodel"], infer_cfg_yml=settings)).error
    assert message in str(error)


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xff", b"a\na", b"a\n\nb", b"a\n \nb"])
def test_class_names_that_are_none(written, content):
    whole = forms()["class names"]
    assert check(written(whole, x_txt=content), whole.reader).error is not None


@pytest.mark.parametrize("shape", [(-2, -3), (2, 3, *[1] * 70), (0,), (10**10,), (2.0, 3)])
def test_pieces_of_tensors_that_say_another_shape(written, shape):
    pieces = {"w": {"OriginShape": shape, "slices": ["w@@.0"]}}
    content = {"w@@.0": np.ones(6, np.float32), "UnpackBigParamInfor@@": pieces}
    error = check(written(forms()["pdparams"], x_pdparams=pickle.dumps(content, 2))).error
    assert "slices of 'w'" in str(error) or "the pickle opcode" in str(error)
