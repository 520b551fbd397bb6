"""The probes, picodet's answers to them, and that each of them can fail."""

from dataclasses import replace

import numpy as np
import pytest

from picodet.alignment.checks import probes as probing
from picodet.alignment.checks.image_probes import preprocess_probe
from picodet.alignment.checks.probes import LIVE_ANSWERS, SHIPPED_ANSWERS, run_probes
from picodet.alignment.recording import probes
from picodet.alignment.recording.reader import Recording
from picodet.alignment.recording.writer import RecordingWriter
from picodet.alignment.tolerance import Tolerance
from picodet.data import preprocess
from picodet.errors import RecordingError
from picodet.models.head import HeadV2Output, Integral
from picodet.ops import decode, postprocess
from picodet.ops.nms import multiclass_nms
from tests.alignment.recording.test_writer import index_of

NOISE = Tolerance(30.0)
NEXT_BELOW = {value: np.nextafter(np.float32(value), np.float32(0)) for value in (0.025, 0.6)}


@pytest.fixture
def recording(tmp_path):
    """A recording without answers of the reference."""
    with RecordingWriter(0) as writer:
        index = index_of(writer)
        writer.write(tmp_path / "r.safetensors", index)
    with Recording(tmp_path / "r.safetensors") as recording:
        yield recording


@pytest.mark.parametrize("head", probes.HEAD_PREFIXES)
def test_picodets_answers_are_ppdets(recording, head):
    results = run_probes(head, Integral(7), recording, NOISE)
    assert (results.preprocessing, results.decoding, results.nms) == ((), (), ())
    assert results.evidence == SHIPPED_ANSWERS


def test_the_models_own_bins_do_not_matter(recording):
    """The code of its Integral is tested, with the probe's eight bins."""
    assert run_probes("pico_head", Integral(11), recording, NOISE).decoding == ()


NMS_MISTAKES = {
    "score >=": {"score_threshold": NEXT_BELOW[0.025]},
    "score 0.02": {"score_threshold": 0.02},
    "score 0.03": {"score_threshold": 0.03},
    "score 0.05": {"score_threshold": 0.05},
    "score 0.4": {"score_threshold": 0.4},
    "IoU >=": {"iou_threshold": NEXT_BELOW[0.6]},
    "IoU 0.5": {"iou_threshold": 0.5},
    "IoU 0.59": {"iou_threshold": 0.59},
    "IoU 0.61": {"iou_threshold": 0.61},
    "IoU 0.7": {"iou_threshold": 0.7},
    "top 400": {"top_k": 400},
    "top 999": {"top_k": 999},
    "top 1001": {"top_k": 1001},
    "keep 99": {"keep_top_k": 99},
    "keep 101": {"keep_top_k": 101},
}


@pytest.mark.slow
@pytest.mark.parametrize("mistake", NMS_MISTAKES)
def test_a_mistake_in_the_nms_shows(recording, monkeypatch, mistake):
    def wrong(boxes, scores, threshold, *_):
        return multiclass_nms(
            boxes, scores, **({"score_threshold": threshold} | NMS_MISTAKES[mistake])
        )

    monkeypatch.setattr(postprocess, "multiclass_nms", wrong)
    results = run_probes("pico_head", Integral(7), recording, NOISE)
    assert results.nms
    assert (results.preprocessing, results.decoding) == ((), ())


@pytest.mark.slow
@pytest.mark.parametrize("case", probes.NMS_CASES)
def test_each_case_can_fail(recording, monkeypatch, case):
    """An NMS that is wrong for this one input only."""
    boxes, _ = probes.nms_inputs(case)

    def wrong(given, scores, threshold, *_):
        classes, indices = multiclass_nms(given, scores, threshold)
        if given.shape == boxes.shape and np.array_equal(given, boxes):
            classes, indices = np.append(classes, 0), np.append(indices, 0)
        return classes, indices

    monkeypatch.setattr(postprocess, "multiclass_nms", wrong)
    (finding,) = run_probes("pico_head", Integral(7), recording, NOISE).nms
    assert finding.name == f"probe: {case}"


def test_another_order_of_equal_scores_shows(recording, monkeypatch):
    """Ties in the order of their boxes: which box of two equals survives depends on it."""

    def backwards(boxes, scores, threshold, *_):
        classes, indices = multiclass_nms(boxes[::-1], scores[:, ::-1], threshold)
        return classes, len(boxes) - 1 - indices

    monkeypatch.setattr(postprocess, "multiclass_nms", backwards)
    names = {finding.name for finding in run_probes("pico_head", Integral(7), recording, NOISE).nms}
    assert "probe: ties" in names
    assert "probe: random" not in names


@pytest.mark.parametrize("interp", probes.INTERPS)
def test_each_interp_can_fail(recording, monkeypatch, interp):
    other = (interp + 1) % 5
    right = preprocess.resize

    def wrong(image, size, asked_interp):
        return right(image, size, other if asked_interp == interp else asked_interp)

    monkeypatch.setattr(preprocess, "resize", wrong)
    (finding,) = run_probes("pico_head", Integral(7), recording, NOISE).preprocessing
    assert finding.name == f"probe: interp {interp}"


def test_swapped_colors_are_reported(recording, monkeypatch):
    right = preprocess.normalize
    monkeypatch.setattr(
        preprocess, "normalize", lambda image, numbers: right(image[..., ::-1].copy(), numbers)
    )
    findings = run_probes("pico_head", Integral(7), recording, NOISE).preprocessing
    assert len(findings) == 5
    assert {
        finding.diagnosis.partition("picodet's with interp ")[2][1:] for finding in findings
    } == {", with red and blue exchanged"}


@pytest.mark.parametrize(
    ("change", "name", "text"),
    [
        (lambda b, s: (b + 0.01, s), "boxes", "no known cause reproduces the difference"),
        (lambda b, s: (b, s.sqrt()), "scores", "the square root of the scores is taken"),
        (lambda b, s: (b, s.flip(1)), "scores", "the classes are in reverse order"),
    ],
)
def test_decoding_can_fail(recording, monkeypatch, change, name, text):
    right = decode.decode
    monkeypatch.setattr(decode, "decode", lambda *args: change(*right(*args)))
    (finding,) = run_probes("pico_head", Integral(7), recording, NOISE).decoding
    assert (finding.name, finding.diagnosis) == (f"probe: {name}", text)


def aligned_scores(formula):
    """Scores from logits and alignment, both [B, *, A]."""

    def scores(output):
        pairs = zip(output.logits, output.alignment, strict=True)
        return tuple(formula(logits.sigmoid(), alignment.sigmoid()) for logits, alignment in pairs)

    return scores


@pytest.mark.slow
@pytest.mark.parametrize(
    ("formula", "text"),
    [
        (lambda p, q: p * q + 1e-9, "the square root is missing"),
        (lambda p, q: p + 0 * q, "the alignment is ignored"),
        (lambda p, q: (p * q).sqrt(), "the epsilon under the root is missing; the reference's"),
        (lambda p, q: (p * q + 1e-6).sqrt(), "the epsilon under the root is 1e-06; the refer"),
        (lambda p, q: (p * q + 1e-8).sqrt(), "the epsilon under the root is 1e-08; the refer"),
        (
            lambda p, q: (p + q) / 2,
            "the arithmetic instead of the geometric mean of both probabilities",
        ),
        (lambda p, q: (p * q + 1e-9).sqrt().flip(1), "the classes are in reverse order"),
        (lambda p, q: (p * q + 1e-9).sqrt() * 0.99, "no known cause reproduces the difference"),
    ],
)
def test_a_wrong_score_of_2022(recording, monkeypatch, formula, text):
    monkeypatch.setattr(HeadV2Output, "scores", aligned_scores(formula))
    (finding,) = run_probes("pico_head_v2", Integral(7), recording, NOISE).decoding
    assert finding.name == "probe: scores"
    assert finding.diagnosis.startswith(text)
    assert run_probes("pico_head", Integral(7), recording, NOISE).decoding == ()


def run_with_answers(path, answers, questions):
    """A recording with the reference's own answers."""
    with RecordingWriter(0) as writer:
        keys = {name: writer.add(answer) for name, answer in answers.items()}
        index = index_of(writer)
        writer.write(path, replace(index, probes=keys, versions={probes.VERSION_KEY: questions}))
    with Recording(path) as recording:
        return run_probes("pico_head", Integral(7), recording, NOISE)


@pytest.fixture
def answers():
    """Answers of a reference that drops a box of `dense` and resizes with interp 1 for 2."""
    answers = probes.collect_answers(
        preprocess_probe,
        lambda head: probing._decode(head, Integral(7)),
        probing._run_nms,
    )
    answers["NMS/dense"] = answers["NMS/dense"][:-1]
    answers["preprocessing/2"] = answers["preprocessing/1"]
    return answers


def test_a_references_own_answers_take_precedence(tmp_path, answers):
    results = run_with_answers(tmp_path / "r.safetensors", answers, probes.questions_digest())
    assert results.evidence == LIVE_ANSWERS
    assert [finding.name for finding in results.nms] == ["probe: dense"]
    (finding,) = results.preprocessing
    assert finding.name == "probe: interp 2"
    assert finding.diagnosis == "the reference's result with interp 2 is picodet's with interp 1"


def test_answers_to_other_probes_do_not_count(tmp_path, answers):
    results = run_with_answers(tmp_path / "r.safetensors", answers, "an older version's")
    assert (results.preprocessing, results.decoding, results.nms) == ((), (), ())
    assert results.evidence == SHIPPED_ANSWERS


def test_a_reference_without_some_answers(tmp_path, answers):
    """A file may lack answers."""
    del answers["NMS/random"]
    with pytest.raises(RecordingError):
        run_with_answers(tmp_path / "r.safetensors", answers, probes.questions_digest())


@pytest.mark.parametrize(
    ("attribute", "value"), [("NMS_CASES", probes.NMS_CASES[1:]), ("HEAD_SIZE", (96, 96))]
)
def test_other_probes_have_another_digest(monkeypatch, attribute, value):
    before = probes.questions_digest()
    monkeypatch.setattr(probes, attribute, value)
    assert probes.questions_digest() != before
