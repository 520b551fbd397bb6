"""Plants faults in a right model, one at a time: picodet-align must find each, and nothing else.

    python -m benchmarks.fault_injection.faults --paddle-python PYTHON [--images 20] [--checkpoints
    FILE ..]
        [--peers PYTHON] [--only WORD] [--reference-ipp disabled] [--json FILE]

First the faults of fault_list.py, compared with ppdet's run of an image; faults in the values of
the bins with exports of raw heads, faults in the class names with a file that has some. All must be
found, in the right stage and at the very layer. Then right models with several checkpoints, on many
images: none may be reported as wrong. Exit code 1 where one of the two fails.

With ../shared the checkpoints and images are real; without it, seeded random numbers
(scripts/fixtures/seeded.py) and images of scikit-image. The Python of --paddle-python has ppdet,
that of --peers the packages that peers.py lists. Takes half an hour on two cores; each recording
takes up to 150 MB, one at a time.
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

from benchmarks.baselines.peers import PeerResult, Peers
from benchmarks.baselines.traces import (
    NON_LAYER_STEPS,
    common_steps,
    layer_of,
    our_trace,
    reference_trace,
)
from benchmarks.fault_injection import right_models
from benchmarks.fault_injection.fault_list import FAULTS
from benchmarks.fault_injection.planting import Fault, ReferenceKind
from benchmarks.fault_injection.references import Pair, find_images, pairs, pairs_against
from picodet.alignment.align import align
from picodet.alignment.candidate import TorchModel
from picodet.alignment.recording.reader import Recording
from picodet.alignment.report.formatting import times_noise
from picodet.alignment.result import UNKNOWN_CAUSE, Comparison, Layer
from picodet.models import checkpoint
from picodet.models.picodet import PicoDet

COLUMNS = ("fault", "stage", "layer", "found", "located", "x noise", "diagnosis")
GROUPS: tuple[tuple[ReferenceKind, bool], ...] = (  # kind of reference, and whether in float64
    *(("ppdet", False), ("raw heads", False), ("names", False)),
    ("ppdet", True),
)


@dataclass(frozen=True)
class ToolResult:
    """Whether a tool finds one fault, and whether it locates it."""

    found: bool
    located: bool


@dataclass(frozen=True)
class Row:
    """One fault, and the results of picodet-align and of the other tools."""

    fault: str
    stage: str
    layer: str
    ours: ToolResult
    ratio: str  # error over noise of the worst layer
    diagnosis: str
    reported: str  # the stages and layers that were reported
    peers: dict[str, ToolResult] = field(default_factory=dict)


def plant_faults(
    faults: list[Fault], pair: Pair, recording: Recording, peers: Peers | None
) -> Iterator[Row]:
    """Plant each fault in a copy of the right model and compare."""
    right = checkpoint.load(pair.model)
    steps: list[str] = []
    if peers is not None:
        reference = reference_trace(recording, right.config)
        trace = our_trace(right, recording)
        steps = common_steps(reference, trace)
        peer_results = peers.set_reference(
            *({name: side[name] for name in steps} for side in (reference, trace))
        )
        for tool, peer_result in peer_results.items():
            alarms = f"{len(peer_result.different)} false alarms of {len(steps)}"
            print(f"right model, {tool}, {peer_result.tolerance:g}: {peer_result.error or alarms}")
    for fault in faults:
        model = copy.deepcopy(right)
        with fault.planted(model):
            candidate = TorchModel(model, model.config.classes)
            comparison = align(candidate, pair.model, recording)
            answers = {}
            if peers is not None:
                made = our_trace(model, recording)
                peer_results = peers.compare({name: made[name] for name in steps if name in made})
                answers = {
                    tool: _peer_result(fault, right, peer_result)
                    for tool, peer_result in peer_results.items()
                }
        yield _row(fault, comparison, answers)


def _row(fault: Fault, comparison: Comparison, peers: dict[str, ToolResult]) -> Row:
    differing = [stage.name for stage in comparison.stages if stage.verdict != "aligned"]
    guilty = comparison.guilty
    worst = guilty[0].local or guilty[0].accumulated if guilty else None
    return Row(
        fault.name,
        fault.stages[0],
        ", ".join(place or "the whole model" for place in fault.places),
        ToolResult(bool(differing), _located(fault, comparison, differing)),
        times_noise(worst) if worst else "",
        _diagnosis(fault, comparison),
        ", ".join([*differing, *(layer.path or "the whole model" for layer in guilty)]),
        peers,
    )


def _located(fault: Fault, comparison: Comparison, differing: list[str]) -> bool:
    """Whether exactly the fault's stages differ, and all findings are at the fault's places."""
    may_differ = {"heads"} if "layers" in fault.stages else set()  # consequence of a wrong layer
    if set(differing) - may_differ != set(fault.stages):
        return False
    named = [
        finding.name
        for stage in comparison.stages
        if stage.name in set(fault.stages) - {"layers"}
        for finding in stage.findings
    ]
    if not all(name.startswith(fault.places or name) for name in named):
        return False
    guilty = comparison.guilty
    if "layers" in fault.stages:
        return bool(guilty) and all(_is_expected(layer, fault.places) for layer in guilty)
    return not guilty


def _is_expected(layer: Layer, places: tuple[str, ...]) -> bool:
    return layer.path in places or layer.type in places


def _diagnosis(fault: Fault, comparison: Comparison) -> str:
    """The first known diagnosis."""
    found = [finding.diagnosis for stage in comparison.stages for finding in stage.findings]
    found += [layer.diagnosis for layer in comparison.guilty]
    return next((text for text in found if text and not text.startswith(UNKNOWN_CAUSE)), "")


def _peer_result(fault: Fault, right: PicoDet, result: PeerResult) -> ToolResult:
    """Judged by the first step that the tool reports, in the order of the forward pass."""
    if not result.different:
        return ToolResult(bool(result.error), False)
    first = result.different[0]
    if stages := NON_LAYER_STEPS.get(first):
        return ToolResult(True, not stages.isdisjoint(fault.stages))
    path = layer_of(first)
    kind = type(right.get_submodule(path)).__name__
    return ToolResult(True, path in fault.places or kind in fault.places)


def _print(row: Row, head: bool) -> None:
    answers = {"": row.ours, **row.peers}
    words = {tool: (_word(a.found), _word(a.located)) for tool, a in answers.items()}
    if head:
        columns = [*COLUMNS, *(f"{tool}: found, located" for tool in row.peers)]
        print(f"| {' | '.join(columns)} |\n|{' --- |' * len(columns)}")
    cells = [row.fault, row.stage, row.layer, *words.pop(""), row.ratio, row.diagnosis]
    cells += [", ".join(pair) for pair in words.values()]
    print(f"| {' | '.join(cells)} |", flush=True)
    if not (row.ours.found and row.ours.located):
        print(f"MISSED: {row.fault}; reported: {row.reported or 'nothing'}")


def _word(yes: bool) -> str:
    return "yes" if yes else "no"


def main() -> None:
    """Plant the faults, compare, and print both tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--paddle-python", type=Path)
    parser.add_argument("--images", type=int, default=20)
    parser.add_argument("--checkpoints", type=Path, nargs="+", default=[])
    parser.add_argument("--peers", type=Path)
    parser.add_argument("--only", default="", help="faults whose name or stage has this word")
    parser.add_argument(
        "--reference-ipp",
        choices=("disabled", "sse42", "avx2"),
        help="OPENCV_IPP of the recording process, to simulate another machine",
    )
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    python = arguments.paddle_python
    if arguments.reference_ipp:
        cv2.ipp.useIPP()  # reads the variable for this process, before it is changed
        os.environ["OPENCV_IPP"] = arguments.reference_ipp
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        images = find_images(folder, max(arguments.images, 1))
        all_pairs = pairs(folder, arguments.checkpoints)
        peers = stack.enter_context(Peers(arguments.peers, folder)) if arguments.peers else None
        rows: list[Row] = []
        for reference_kind, float64 in GROUPS:
            faults = [
                fault
                for fault in FAULTS
                if (fault.reference_kind, fault.float64) == (reference_kind, float64)
                and any(arguments.only in text for text in (fault.name, *fault.stages))
            ]
            for pair in pairs_against(reference_kind, all_pairs) if faults else ():
                own_peers = peers if reference_kind == "ppdet" else None
                with pair.recorded(images[0], python, float64) as recording:
                    for row in plant_faults(faults, pair, recording, own_peers):
                        _print(row, head=not rows)
                        rows.append(row)
        rights = []
        for right in right_models.run(all_pairs, images[: arguments.images], python):
            rights.append(right)
            measured = (f"{m} {right_models.highest(right, m):.1f}" for m in right_models.MEASURES)
            verdict = f"FALSE ALARM: {', '.join(right.alarms)}" if right.alarms else "aligned"
            label = f"{right.kind} {right.reference} {right.image}"
            print(f"{label}: {verdict}; x noise at most {', '.join(measured)}", flush=True)
    print("\n".join(right_models.distribution(rights)))
    _finish(rows, rights, arguments.json)


def _finish(
    rows: list[Row], rights: list[right_models.RightModelRun], json_file: Path | None
) -> None:
    answers = {"picodet-align": [row.ours for row in rows]}
    for tool in rows[0].peers if rows else ():
        answers[tool] = [row.peers[tool] for row in rows if tool in row.peers]
    for tool, results in answers.items():
        found, located = sum(a.found for a in results), sum(a.located for a in results)
        print(f"{tool}: {found} of {len(results)} found, {located} located")
    alarms = sum(bool(right.alarms) for right in rights)
    print(f"{alarms} false alarms in {len(rights)} comparisons of right models")
    if json_file:
        content: dict[str, Any] = {
            "faults": [asdict(row) for row in rows],
            "right": [
                {
                    **{key: getattr(right, key) for key in ("kind", "reference", "image")},
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
