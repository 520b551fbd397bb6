"""The rungs of decoding and NMS for an export that does these itself."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from picodet.alignment.comparison import Finding, Rung, Verdict
from picodet.alignment.decoding_diagnosis import explain_boxes, explain_scores
from picodet.alignment.endings import OwnHeads, closest, decoded, finding, recorded_heads
from picodet.alignment.gap import Tolerance, gap, noise
from picodet.alignment.recorded import Recorded
from picodet.alignment.suppression import compare_kept, end_to_end, kept
from picodet.models.head import HeadOutput
from picodet.models.picodet import PicoDet

Decode = Callable[[HeadOutput], tuple[Tensor, Tensor]]
Suppress = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class OwnEnding:
    """What an export does behind its heads; None where it ends before.

    decode: heads -> boxes [1, A, 4] in pixels of the input and scores [1, C, A]; suppress: those of
    one picture, [A, 4] and [C, A] -> rows [N, 6] of class, score, xyxy in pixels of the picture.
    """

    heads: Callable[[], OwnHeads]
    decode: Decode | None
    suppress: Suppress | None


def compare_own_decoding(
    decode: Decode,
    model: PicoDet,
    runs: Sequence[HeadOutput],
    recorded: Recorded,
    tolerance: Tolerance,
) -> Rung:
    """What it makes of the reference's heads, against the reference's boxes and scores.

    Of its own heads where a summary has none, and against our decoding where the reference ends
    with its heads. `runs`: its own heads first.
    """
    ending = recorded.recording.index.ending
    theirs = recorded_heads(recorded, model.config)
    heads = theirs or runs[0]
    names = ("boxes before NMS", "scores before NMS")
    keys = (ending.boxes, ending.box_scores) if theirs else (None, None)
    gaps, findings = [], []
    made = decode(heads)
    for i, (name, key) in enumerate(zip(names, keys, strict=True)):
        ours = decoded(model, heads)[i]
        if key is None:
            found = gap(made[i], ours[0], noise(*ours), tolerance)
        else:
            found = recorded.gap(made[i], key, tolerance, ours)
        gaps.append((name, found))
        if not found.ok:
            explain = (explain_boxes, explain_scores)[i]
            findings.append(finding(name, found, explain(heads, made[i])))
    whose = "the reference's" if theirs else "its own"
    against = "the reference's" if keys[0] else "our decoding of them"
    summary = f"{made[0].shape[1]:,} boxes by the export from {whose} heads, against {against}"
    verdict: Verdict = "differs" if findings else "aligned"
    return Rung("decoding", verdict, f"{summary}; {closest(gaps)}", tuple(findings))


def compare_own_nms(
    suppress: Suppress, decode: Decode, runs: Sequence[HeadOutput], recorded: Recorded
) -> Rung:
    """What it keeps of the reference's boxes, against what the reference keeps.

    Of its own boxes, and against our NMS, where the reference has none.
    """
    recording = recorded.recording
    ending, scale_factor = (
        recording.index.ending,
        np.array(recording.index.scale_factor, np.float32),
    )
    own = [tensor[0].numpy() for tensor in decode(runs[0])]
    known = ending.boxes and ending.box_scores and recording.has(ending.boxes)
    boxes, scores = own
    if known:
        boxes, scores = (recording.tensor(str(key))[0] for key in (ending.boxes, ending.box_scores))
    theirs = kept(boxes, scores, scale_factor)
    if known and ending.kept:
        theirs = recording.tensor(ending.kept)
    in_picture = boxes / np.tile(scale_factor[::-1], 2)
    ours = suppress(boxes, scores)
    findings: list[Finding] = compare_kept(ours, theirs, False, "boxes", (in_picture, scores))
    whose, against = ("the reference's", "the reference") if known else ("its own", "ours")
    if known and not ending.kept:
        against = "ours"
    done = f"{len(ours)} boxes kept by the export's NMS of {whose} candidates, against {against}"
    if ending.kept:
        done += f"; end to end: {end_to_end(suppress(*own), recording.tensor(ending.kept))}"
    return Rung("NMS", "differs" if findings else "aligned", done, tuple(findings))
