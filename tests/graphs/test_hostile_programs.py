"""Truncated, changed and invented programs give a graph or an error, in little time and memory."""

import json
import tracemalloc
from itertools import pairwise

import paddle_files as files
import pytest
from hypothesis import given
from hypothesis import strategies as st
from paddle_files import feed, fetch, field, operator, value_type
from work import count_calls

from picodet.errors import CheckpointError, GraphError
from picodet.graphs import pdmodel, pir
from picodet.graphs.graph import canonicalize

SMALL = {"pdmodel": files.small_pdmodel(), "json": files.small_pir()}
FORMS = pytest.mark.parametrize("form", SMALL)


@pytest.fixture(scope="module")
def read(tmp_path_factory):
    folder = tmp_path_factory.mktemp("program")
    weights = folder / "model.pdiparams"

    def read_bytes(form, content, arrays):
        path = folder / f"model.{form}"
        path.write_bytes(content)
        weights.write_bytes(files.pdiparams(arrays))
        return {"pdmodel": pdmodel, "json": pir}[form].read(path, weights)

    return read_bytes


def relu(taken, made):
    return operator("relu", {"X": taken}, {"Out": made})


MANY = b"".join(field(4, relu("image", "y")) for _ in range(6_001))
HUGE = field(1, field(3, files.variable("w", [10**10], persistable=True)))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it is empty"),
        (b"no protobuf at all", "a field of the unknown wire type 6 at byte 1"),
        (b"\x0a\xff\xff\xff\xff\x0f", "4,294,967,295 bytes are missing"),
        (field(1, b"") * 2_000_000, "more than 400,000 fields"),
        (field(1, MANY), "6,001 operators"),
        (field(1, field(3, b"") * 350_000), "350,000 variables"),
        (field(1, field(4, field(4, b"") * 350_000)), "more than 200,000 inputs and attributes"),
        (field(1, field(4, field(1, b"") * 350_000)), "more than 200,000"),
        (field(1, field(4, field(1, field(2, b"") * 350_000))), "more than 200,000"),
        (bytes(8_000_001), "a program of more than 8,000,000 bytes"),
        (HUGE, "weight 1 of 1, w"),
        (field(1, field(4, operator(b"\xff", {}, {}))), "a name that is not UTF-8"),
        (b"\x0b" * 1000, "a field of the unknown wire type 3"),  # groups in groups
    ],
)
def test_invalid_pdmodels(read, content, message):
    with count_calls(), pytest.raises((CheckpointError, GraphError), match=message):
        read("pdmodel", content, {})


def test_a_long_chain_is_read_in_linear_time(read):
    names = ["image", *(f"v{i}" for i in range(5000))]
    operators = [relu(a, b) for a, b in pairwise(names)]
    content = files.pdmodel([feed("image"), *operators, fetch(names[-1])], {})
    with count_calls(1000 * len(operators)):
        assert len(canonicalize(read("pdmodel", content, {}).graph).nodes) == 5000


OPERATOR = {"#": "1.relu", "A": [], "I": [], "O": []}
NOTHING = {"#": "NULL"}


def program(*operators):
    """A program with invalid content in place of operators."""
    written = {"regions": [{"blocks": [{"ops": list(operators)}]}]}
    return json.dumps({"base_code": {"magic": "pir"}, "program": written}).encode()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "Expecting value"),
        (b"no JSON", "Expecting value"),
        (b"\xff\xfe\xfa", "no text|decode"),
        (b"[" * 100_000, "nested deeper"),
        (b'{"a":' * 100_000, "nested deeper"),
        (b"[NaN]", "NaN, which is not JSON"),
        (b"[-Infinity]", "-Infinity, which is not JSON"),
        (b"[" + b"9" * 5000 + b"]", "a number of 5,000 digits"),
        (b"[]", "not a program in PIR"),
        (b'{"base_code": {"magic": "pir"}, "program": {"regions": []}}', "not a program in PIR"),
        (SMALL["json"].replace(b'"pir"', b'"onnx"'), "not a program in PIR"),
        (program(*[OPERATOR] * 6_001), "6,001 operators, too many"),
        (program({**OPERATOR, "I": [{"%": 0}] * 200_001}), "more than 200,000 values"),
        (program([]), "operator 0 is invalid: ValueError list without"),
        (program({**OPERATOR, "I": [7]}), "operator 0 is invalid: TypeError"),
        (program({**OPERATOR, "I": [{"%": "x"}]}), "a value without a number"),
        (program({**OPERATOR, "I": [{"%": 1.0}]}), "a value without a number"),
        (program({**OPERATOR, "O": [{}]}), "KeyError '%'"),
        (
            program({**OPERATOR, "O": [{"%": 1, "TT": value_type([1] * 17)}]}),
            "shape of 17 dimensions",
        ),
        (program({**OPERATOR, "O": [{"%": 1, "TT": value_type([1.5])}]}), "shape of 1 dimensions"),
        (program({**OPERATOR, "A": [{"N": 7, "AT": {}}]}), "a name of 1 to 1,000"),
        (program({**OPERATOR, "A": [{"N": "x", "AT": {"VD": "ALL"}}]}), "KeyError 'ALL'"),
        (program({**OPERATOR, "#": "x" * 1001}), "a name of 1 to 1,000"),
        (bytes(5_000_001), "a program of more than 5,000,000 bytes"),
        (
            program({"#": "p", "A": [0, 1, 1, "w"], "O": {"%": 1, "TT": value_type([10**10])}}),
            "weight 1 of 1, w",
        ),
        (
            program({"#": "p", "A": [0, 1, 1, "w"], "O": {"%": 1, "TT": NOTHING}}),
            "weight 1 of 1, w",
        ),
    ],
)
def test_invalid_json_programs(read, content, message):
    tracemalloc.start()
    try:
        with count_calls(), pytest.raises(CheckpointError, match=message):
            read("json", content, {})
        assert tracemalloc.get_traced_memory()[1] < 30 * len(content) + 1e6
    finally:
        tracemalloc.stop()


def read_or_refused(read, form, content):
    """Whether a program can be read and put into canonical form; any other error fails the test."""
    try:
        canonicalize(read(form, content, files.WEIGHTS).graph)
    except (CheckpointError, GraphError):
        return False
    return True


@FORMS
def test_the_unchanged_program_is_valid(read, form):
    assert read_or_refused(read, form, SMALL[form])


@FORMS
@given(data=st.data())
def test_a_program_truncated_anywhere(read, form, data):
    length = data.draw(st.integers(0, len(SMALL[form]) - 1))
    refused = not read_or_refused(read, form, SMALL[form][:length])
    assert refused or form == "pdmodel"  # whose last field is a version that is not looked at


@FORMS
@given(data=st.data(), byte=st.integers(0, 255))
def test_a_changed_byte(read, form, data, byte):
    position = data.draw(st.integers(0, len(SMALL[form]) - 1))
    content = SMALL[form][:position] + bytes([byte]) + SMALL[form][position + 1 :]
    read_or_refused(read, form, content)


WHATEVER = st.sampled_from(
    [None, True, -1, 0, 3, 1e300, "", "x", [], {}, [[1]], {"D": 1}, {"#": "0.a_str", "D": []}]
)


@given(st.data(), WHATEVER)
def test_any_value_in_any_place(read, data, whatever):
    written = json.loads(SMALL["json"])
    place = written["program"]["regions"][0]["blocks"][0]["ops"]
    while True:
        keys = list(place) if isinstance(place, dict) else range(len(place))
        key = data.draw(st.sampled_from(keys))
        inner = place[key]
        if not isinstance(inner, dict | list) or not inner or data.draw(st.booleans()):
            place[key] = whatever
            break
        place = inner
    read_or_refused(read, "json", json.dumps(written).encode())
