"""Faults planted in a right model, one at a time: picodet-align must find each, and nothing else.

    python -m benchmarks.fault_injection.faults --paddle-python PYTHON [--images 20] [--checkpoints FILE ..]
        [--peers PYTHON] [--only WORD] [--reference-ipp disabled] [--json FILE]

First the faults of fault_list.py, against ppdet's own run of a picture; in the values of the bins
against exports that end at raw heads, in the names of the classes against a file that has some. All
must be found, on the right rung and at the very layer. Then the right models, over many pictures
and several checkpoints: none may be called wrong. Exit code 1 where one of the two fails.

With ../shared the checkpoints and pictures are real; without it they are seeded numbers
(scripts/fixtures/seeded.py) and pictures of scikit-image. The Python of --paddle-python has ppdet, that of
--peers what peers.py says. Half an hour on two cores; each recording takes up to 150 MB, one at a
time.
"""

import argparse
import copy
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import cv2

from benchmarks.baselines.peers import Peers, Said
from benchmarks.baselines.traces import OUTSIDE, common, layer_of, our_trace, reference_trace
from benchmarks.fault_injection import right_models
from benchmarks.fault_injection.fault_list import FAULTS
from benchmarks.fault_injection.planting import Against, Fault
from benchmarks.fault_injection.references import Pair, pairs, pairs_against, pictures
from picodet.alignment.align import align
from picodet.alignment.candidate import TorchModel
from picodet.alignment.recording.reader import Recording
from picodet.alignment.report.formatting import times
from picodet.alignment.result import Comparison, Layer
from picodet.models import checkpoint
from picodet.models.picodet import PicoDet

COLUMNS = ("fault", "rung", "layer", "found", "located", "x noise", "diagnosis")
UNKNOWN = "none of the usual mistakes"
GROUPS: tuple[tuple[Against, bool], ...] = (  # and whether in float64
    *(("ppdet", False), ("raw heads", False), ("names", False)),
    ("ppdet", True),
)


@dataclass(frozen=True)
class Answer:
    """What a tool makes of one fault."""

    found: bool
    located: bool


@dataclass(frozen=True)
class Row:
    """One fault, and what everyone makes of it."""

    fault: str
    rung: str
    layer: str
    ours: Answer
    ratio: str  # error over noise of the worst layer
    diagnosis: str
    said: str  # what was reported: rungs and layers
    peers: dict[str, Answer] = field(default_factory=dict)


def planted(
    faults: list[Fault], pair: Pair, recording: Recording, peers: Peers | None
) -> Iterator[Row]:
    """Every fault in a copy of the right model."""
    right = checkpoint.load(pair.model)
    steps: list[str] = []
    if peers is not None:
        reference = reference_trace(recording, right.config)
        trace = our_trace(right, recording)
        steps = common(reference, trace)
        said = peers.learn(*({name: side[name] for name in steps} for side in (reference, trace)))
        for tool, answer in said.items():
            alarms = f"{len(answer.different)} false alarms of {len(steps)}"
            print(f"right model, {tool}, {answer.tolerance:g}: {answer.broken or alarms}")
    for fault in faults:
        model = copy.deepcopy(right)
        with fault.planted(model):
            candidate = TorchModel(model, model.config.classes)
            comparison = align(candidate, pair.model, recording)
            answers = {}
            if peers is not None:
                made = our_trace(model, recording)
                said = peers.compare({name: made[name] for name in steps if name in made})
                answers = {tool: _peer(fault, right, answer) for tool, answer in said.items()}
        yield _row(fault, comparison, answers)


def _row(fault: Fault, comparison: Comparison, peers: dict[str, Answer]) -> Row:
    differing = [rung.name for rung in comparison.rungs if rung.verdict != "aligned"]
    guilty = comparison.guilty
    worst = guilty[0].local or guilty[0].accumulated if guilty else None
    return Row(
        fault.name,
        fault.rungs[0],
        ", ".join(place or "the whole model" for place in fault.places),
        Answer(bool(differing), _located(fault, comparison, differing)),
        times(worst) if worst else "",
        _diagnosis(fault, comparison),
        ", ".join([*differing, *(layer.path or "the whole model" for layer in guilty)]),
        peers,
    )


def _located(fault: Fault, comparison: Comparison, differing: list[str]) -> bool:
    """The rungs are those that the fault is on; so is everything that is named there."""
    besides = {"heads"} if "layers" in fault.rungs else set()  # a wrong layer's consequence
    if set(differing) - besides != set(fault.rungs):
        return False
    named = [
        finding.name
        for rung in comparison.rungs
        if rung.name in set(fault.rungs) - {"layers"}
        for finding in rung.findings
    ]
    if not all(name.startswith(fault.places or name) for name in named):
        return False
    guilty = comparison.guilty
    if "layers" in fault.rungs:
        return bool(guilty) and all(_is_one(layer, fault.places) for layer in guilty)
    return not guilty


def _is_one(layer: Layer, places: tuple[str, ...]) -> bool:
    return layer.path in places or layer.type in places


def _diagnosis(fault: Fault, comparison: Comparison) -> str:
    """The first that explains something."""
    found = [finding.diagnosis for rung in comparison.rungs for finding in rung.findings]
    found += [layer.diagnosis for layer in comparison.guilty]
    return next((text for text in found if text and not text.startswith(UNKNOWN)), "")


def _peer(fault: Fault, right: PicoDet, said: Said) -> Answer:
    """The first step that is called different, in the order of the forward pass."""
    if not said.different:
        return Answer(bool(said.broken), False)
    first = said.different[0]
    if rungs := OUTSIDE.get(first):
        return Answer(True, not rungs.isdisjoint(fault.rungs))
    path = layer_of(first)
    kind = type(right.get_submodule(path)).__name__
    return Answer(True, path in fault.places or kind in fault.places)


def _print(row: Row, head: bool) -> None:
    answers = {"": row.ours, **row.peers}
    words = {tool: (_word(a.found), _word(a.located)) for tool, a in answers.items()}
    if head:
        columns = [*COLUMNS, *(f"{tool}: found, located" for tool in row.peers)]
        print(f"| {' | '.join(columns)} |\n|{' --- |' * len(columns)}")
    cells = [row.fault, row.rung, row.layer, *words.pop(""), row.ratio, row.diagnosis]
    cells += [", ".join(pair) for pair in words.values()]
    print(f"| {' | '.join(cells)} |", flush=True)
    if not (row.ours.found and row.ours.located):
        print(f"MISSED: {row.fault}; reported: {row.said or 'nothing'}")


def _word(yes: bool) -> str:
    return "yes" if yes else "no"


def main() -> None:
    """Plant, compare, and print both tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--paddle-python", type=Path)
    parser.add_argument("--images", type=int, default=20)
    parser.add_argument("--checkpoints", type=Path, nargs="+", default=[])
    parser.add_argument("--peers", type=Path)
    parser.add_argument("--only", default="", help="faults whose name or rung has this word")
    parser.add_argument(
        "--reference-ipp",
        choices=("disabled", "sse42", "avx2"),
        help="OPENCV_IPP of the process that records, as if it were another machine",
    )
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    python = arguments.paddle_python
    if arguments.reference_ipp:
        cv2.ipp.useIPP()  # which has read the variable for this process
        os.environ["OPENCV_IPP"] = arguments.reference_ipp
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        images = pictures(folder, max(arguments.images, 1))
        all_pairs = pairs(folder, arguments.checkpoints)
        peers = stack.enter_context(Peers(arguments.peers, folder)) if arguments.peers else None
        rows: list[Row] = []
        for against, float64 in GROUPS:
            faults = [
                fault
                for fault in FAULTS
                if (fault.against, fault.float64) == (against, float64)
                and any(arguments.only in text for text in (fault.name, *fault.rungs))
            ]
            for pair in pairs_against(against, all_pairs) if faults else ():
                own_peers = peers if against == "ppdet" else None
                with pair.recorded(images[0], python, float64) as recording:
                    for row in planted(faults, pair, recording, own_peers):
                        _print(row, head=not rows)
                        rows.append(row)
        rights = []
        for right in right_models.run(all_pairs, images[: arguments.images], python):
            rights.append(right)
            measured = (f"{m} {right_models.highest(right, m):.1f}" for m in right_models.MEASURES)
            verdict = f"FALSE ALARM: {', '.join(right.alarms)}" if right.alarms else "aligned"
            about = f"{right.kind} {right.reference} {right.picture}"
            print(f"{about}: {verdict}; x noise at most {', '.join(measured)}", flush=True)
    print("\n".join(right_models.distribution(rights)))
    _finish(rows, rights, arguments.json)


def _finish(rows: list[Row], rights: list[right_models.Right], json_file: Path | None) -> None:
    answers = {"picodet-align": [row.ours for row in rows]}
    for tool in rows[0].peers if rows else ():
        answers[tool] = [row.peers[tool] for row in rows if tool in row.peers]
    for tool, given in answers.items():
        found, located = sum(a.found for a in given), sum(a.located for a in given)
        print(f"{tool}: {found} of {len(given)} found, {located} located")
    alarms = sum(bool(right.alarms) for right in rights)
    print(f"{alarms} false alarms in {len(rights)} comparisons of right models")
    if json_file:
        content: dict[str, Any] = {
            "faults": [asdict(row) for row in rows],
            "right": [
                {
                    **{key: getattr(right, key) for key in ("kind", "reference", "picture")},
                    "alarms": right.alarms,
                    "ratios": {" ".join(key): values for key, values in right.ratios.items()},
                }
                for right in rights
            ],
        }
        json_file.write_text(json.dumps(content, indent=1))
    sys.exit(bool(alarms) or not all(row.ours.found and row.ours.located for row in rows))


if __name__ == "__main__":
    main()
