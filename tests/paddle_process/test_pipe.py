from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from picodet.paddle_process import pipe
from picodet.paddle_process.pipe import receive, send


def sent(words, arrays):
    stream = BytesIO()
    send(stream, words, arrays)
    return stream.getvalue()


values = arrays(
    st.sampled_from([np.dtype(name) for name in pipe.DTYPES]),
    array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4),
)
messages = st.tuples(
    st.dictionaries(st.text(), st.text() | st.integers()), st.dictionaries(st.text(), values)
)


@pytest.mark.slow
@given(st.lists(messages, max_size=3))
def test_what_is_sent_is_received(several):
    stream = BytesIO(b"".join(sent(*message) for message in several))
    for words, expected in several:
        message = receive(stream)
        assert message.header == words
        assert list(message.arrays) == list(expected)
        for name, array in expected.items():
            assert message.arrays[name].dtype == array.dtype
            assert message.arrays[name].shape == array.shape
            assert message.arrays[name].tobytes() == array.tobytes()
    assert receive(stream) is None


def test_an_array_that_is_not_contiguous():
    array = np.arange(24, dtype=np.float32).reshape(4, 6)[::2, ::-3]
    assert np.array_equal(receive(BytesIO(sent({}, {"a": array}))).arrays["a"], array)


def test_a_message_that_breaks_off_is_none():
    whole = sent({"a": "line"}, {"x": np.ones((2, 3), np.float32), "y": np.ones(2, np.int64)})
    for length in range(len(whole)):
        assert receive(BytesIO(whole[:length])) is None


@pytest.mark.parametrize(
    "line",
    [
        "",
        "Paddle says hello",
        "7",
        "[]",
        "{}",
        '{"header": {}, "arrays": [["x", "float32"]]}',
        '{"header": {}, "arrays": [["x", "object", [1]]]}',
        '{"header": {}, "arrays": [["x", [], [1]]]}',
        '{"header": {}, "arrays": [["x", "float32", [-1]]]}',
        '{"header": {}, "arrays": [["x", "float32", [1.5]]]}',
        '{"header": {}, "arrays": [["x", "float32", 3]]}',
        '{"header": 7, "arrays": []}',
        "[" * 5000,
    ],
)
def test_a_line_that_is_not_a_message(line):
    with pytest.raises(ValueError, match="unexpected line"):
        receive(BytesIO(line.encode() + b"\n"))


def test_bytes_that_are_not_text():
    with pytest.raises(ValueError, match="unexpected line"):
        receive(BytesIO(b"\xff\xfe\n"))


def test_messages_beyond_the_limits(monkeypatch):
    with pytest.raises(ValueError, match=r"x has 4,000,000,000,000 bytes; at most"):
        receive(BytesIO(b'{"header": {}, "arrays": [["x", "float32", [1000000, 1000000]]]}\n'))
    monkeypatch.setattr(pipe, "MAX_LINE_BYTES", 10)
    with pytest.raises(ValueError, match="a line of more than 10 bytes"):
        receive(BytesIO(b"0" * 20))
