from io import BytesIO

import numpy as np
import pytest

from picodet.paddle_process import server
from picodet.paddle_process.pipe import receive, send
from picodet.paddle_process.server import error_message

IN_RUN = """
--------------------------------------
C++ Traceback (most recent call last):
--------------------------------------
0   paddle::AnalysisPredictor::ZeroCopyRun(bool)

----------------------
Error Message Summary:
----------------------
In user code:

    File "tools/export_model.py", line 115, in <module>
      main()
    InvalidArgumentError: The 'shape' in ReshapeOp is invalid.
    But received X's shape = [4, 96, 24, 24].
      [Hint: Expected capacity == in_size, but received 55296.] (at /paddle/reshape_op.cc:240)
      [operator < reshape2 > error]
"""
WHEN_LOADED = "(InvalidArgument) Invalid model file. (at /paddle/interface.cc:104)\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            IN_RUN,
            "InvalidArgumentError: The 'shape' in ReshapeOp is invalid. But received X's shape = "
            "[4, 96, 24, 24].",
        ),
        (WHEN_LOADED, "(InvalidArgument) Invalid model file."),
        ("parse error at line 1,\n  column 1", "parse error at line 1, column 1"),
        ("", "RuntimeError"),
    ],
)
def test_reason(text, expected):
    assert error_message(RuntimeError(text)) == expected


class Doubling:
    """A program that doubles its input, and fails for 13."""

    inputs = ("x",)
    outputs = ("y",)

    def __init__(self, file, threads):
        assert (str(file), threads) == ("model.json", 1)

    def run(self, inputs):
        if inputs["x"][0] == 13:
            raise RuntimeError("(Unlucky) 13 (at /somewhere)")
        return {"y": 2 * inputs["x"]}


def served(numbers):
    requests, answers = BytesIO(), BytesIO()
    for number in numbers:
        send(requests, {}, {"x": np.array([number], np.float32)})
    requests.seek(0)
    server.serve({"program": "model.json", "threads": 1}, requests, answers)
    answers.seek(0)
    return list(iter(lambda: receive(answers), None))


def test_it_answers_until_its_input_is_closed(monkeypatch):
    monkeypatch.setattr(server, "PaddleProgram", Doubling)
    greeting, *answers = served([3, 13, 4])
    assert greeting.header == {"inputs": ["x"], "outputs": ["y"]}
    assert answers[0].arrays["y"].tolist() == [6]
    assert answers[1] == ({"error": "(Unlucky) 13"}, {})
    assert answers[2].arrays["y"].tolist() == [8]
    assert len(answers) == 3


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ModuleNotFoundError("No module named 'paddle'", name="paddle"), {"missing": "paddle"}),
        (RuntimeError(WHEN_LOADED), {"error": "(InvalidArgument) Invalid model file."}),
    ],
)
def test_it_reports_why_it_cannot_start(monkeypatch, error, expected):
    def refuse(*_):
        raise error

    monkeypatch.setattr(server, "PaddleProgram", refuse)
    assert served([3]) == [(expected, {})]
