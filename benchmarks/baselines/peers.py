"""Compares the same tensors with two other tools, PaDiff and reprod_log, in a Python that has them.

    python -m venv peers
    peers/bin/pip install paddlepaddle==3.3.1 torch pyyaml "setuptools<81"
    peers/bin/pip install padiff==0.2.0 reprod_log==1.0.1

Both get every layer's output, under the same name for both sides and in the order of the forward
pass: the accumulated outputs, which they record themselves. PaDiff (padiff/utils.py:319,
assert_tensor_equal) requires np.testing.assert_allclose of the tensors (`strict`) or of their means
(`mean`, its default), by default with atol 0 and rtol 1e-7 (utils.py:364); reprod_log
(reprod_log/compare.py:31, utils.py:84) a mean absolute difference of at most 1e-6. With these both
report the right model as wrong, so each is also tried with the smallest power of ten with which the
right model passes on this image (`tuned`), which a user cannot know beforehand.

Run as a script, it answers requests, one line of JSON each with the paths of two .npz files.
"""

import contextlib
import importlib
import io
import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

Trace = Mapping[str, np.ndarray]  # in the order of the forward pass
DEFAULTS = {"PaDiff mean": 1e-7, "PaDiff strict": 1e-7, "reprod_log": 1e-6}
TUNED = ", tuned"
POWERS = range(-9, 4)


class PeerResult(NamedTuple):
    """The result of one tool for one model."""

    different: list[str]  # steps, in the order of the forward pass
    error: str  # the error it ended with, or ""
    tolerance: float


class Peers:
    """A process that is reused, because it takes seconds to start. Use it in a `with` block."""

    def __init__(self, python: Path, folder: Path) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [str(python), "-W", "ignore", __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.requests: Any = self.process.stdin
        self.answers: Any = self.process.stdout

    def __enter__(self) -> "Peers":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.communicate()

    def set_reference(self, reference: Trace, right: Trace) -> dict[str, PeerResult]:
        """Set the reference of later comparisons, and compare the right model with it."""
        save(self.folder / "reference.npz", reference)
        return self._request("learn", right)

    def compare(self, ours: Trace) -> dict[str, PeerResult]:
        """Compare a trace with the reference: results by the names of the tools."""
        return self._request("compare", ours)

    def _request(self, what: str, ours: Trace) -> dict[str, PeerResult]:
        path = self.folder / "ours.npz"
        save(path, ours)
        request = {"what": what, "reference": str(self.folder / "reference.npz"), "ours": str(path)}
        print(json.dumps(request), file=self.requests, flush=True)
        line = self.answers.readline()
        if not line:
            sys.exit("the Python of --peers ended; it needs padiff, reprod_log, paddle and torch")
        return {name: PeerResult(**results) for name, results in json.loads(line).items()}


def save(path: Path, trace: Trace) -> None:
    """Write a trace as .npz, by the names of its steps."""
    arrays: dict[str, Any] = dict(trace)
    np.savez(path, **arrays)


# in the other process


class Tools:
    """Both tools, called as by their own code."""

    def __init__(self) -> None:
        self.padiff: Any = importlib.import_module("padiff.utils")
        self.helper: Any = importlib.import_module("reprod_log").ReprodDiffHelper
        self.check: Any = importlib.import_module("reprod_log.utils").check_print_diff
        self.tuned: dict[str, float] = {}

    def answer(self, what: str, reference: Trace, ours: Trace) -> dict[str, PeerResult]:
        """Results with the default tolerances, and with those that `learn` has found."""
        if what == "learn":
            for name in DEFAULTS:
                powers = (10.0**power for power in POWERS)
                quiet = (p for p in powers if not any(self.run_tool(name, reference, ours, p)[:2]))
                self.tuned[name] = next(quiet, float("inf"))
        answers = {
            name: self.run_tool(name, reference, ours, tolerance)
            for name, tolerance in DEFAULTS.items()
        }
        for name, tolerance in self.tuned.items():
            answers[name + TUNED] = self.run_tool(name, reference, ours, tolerance)
        return answers

    def run_tool(self, name: str, reference: Trace, ours: Trace, tolerance: float) -> PeerResult:
        """The result of one tool with one tolerance."""
        if name == "reprod_log":
            return self._reprod_log(reference, ours, tolerance)
        return self._padiff(reference, ours, name.removeprefix("PaDiff "), tolerance)

    def _padiff(self, reference: Trace, ours: Trace, mode: str, tolerance: float) -> PeerResult:
        atol = 0 if tolerance == DEFAULTS["PaDiff mean"] else tolerance
        options = {"atol": atol, "rtol": tolerance, "compare_mode": mode}
        different: list[str] = []
        for name, tensor in reference.items():
            if name not in ours:
                return PeerResult(different, f"{name} was never reached", tolerance)
            try:
                self.padiff.assert_tensor_equal(ours[name], tensor, options)
            except AssertionError:
                different.append(name)
        return PeerResult(different, "", tolerance)

    def _reprod_log(self, reference: Trace, ours: Trace, tolerance: float) -> PeerResult:
        helper = self.helper()
        try:
            helper.compare_info(dict(reference), dict(ours))
        except (AssertionError, ValueError) as error:
            return PeerResult([], f"{type(error).__name__}: {error}", tolerance)
        return PeerResult(
            [
                name
                for name, differences in helper.diff_dict.items()
                if not self.check({name: differences}, diff_threshold=tolerance, print_func=ignore)
            ],
            "",
            tolerance,
        )


def ignore(_: str) -> None:
    """Print nothing."""


def serve(answer: Callable[[str, Trace, Trace], dict[str, PeerResult]]) -> None:
    """Answer requests on standard input until it ends."""
    out = sys.stdout
    for line in sys.stdin:
        request = json.loads(line)
        reference, ours = (dict(np.load(request[side])) for side in ("reference", "ours"))
        with contextlib.redirect_stdout(io.StringIO()):
            results = answer(request["what"], reference, ours)
        print(json.dumps({name: s._asdict() for name, s in results.items()}), file=out, flush=True)


if __name__ == "__main__":
    with contextlib.redirect_stdout(sys.stderr):
        tools = Tools()
    serve(tools.answer)
