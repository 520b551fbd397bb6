"""Preprocessing of an image, and the diagnosis of each mistake in it."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from own_recording import CONFIG

from picodet.alignment.checks.preprocessing import compare_preprocessing, preprocessing_steps
from picodet.alignment.recording.index import PreprocessingSettings, PreprocessingStep
from picodet.alignment.recording.probes import IMAGE
from picodet.alignment.recording.reader import Recording
from picodet.alignment.recording.writer import RecordingWriter
from picodet.alignment.result import Finding
from picodet.config import Preprocessing
from picodet.data.resize_kernels import fingerprint, use_kernels
from picodet.errors import RecordingError
from tests.alignment.recording.test_writer import index_of

EVIDENCE = "somebody's answer"
MEAN, STD = np.array(Preprocessing().mean), np.array(Preprocessing().std)


@pytest.fixture(scope="module")
def encoded_image():
    """An image of 40 rows and 56 columns, which is enlarged to CONFIG's 64x64."""
    image = cv2.imread(str(IMAGE))[100:140, 100:156]
    return cv2.imencode(".png", image)[1].tobytes()


def ppdet_steps(encoded_image, interp=2, rgb=True, resize=None, mean=MEAN, std=STD, scale=True):
    """A second implementation of ppdet's transforms, step by step."""
    decoded = cv2.imdecode(np.frombuffer(encoded_image, np.uint8), cv2.IMREAD_COLOR)
    color = cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB) if rgb else decoded
    height, width = decoded.shape[:2]
    factors = {"fx": 64 / width, "fy": 64 / height}
    source = color.astype(np.float32) if resize == "float" else color
    resized = cv2.resize(source, None, **factors, interpolation=interp).astype(np.float32)
    image = resized.copy()
    if scale:
        image *= np.float32(1 / 255)
    image = ((image - mean).astype("f4") / std).astype("f4")
    return {
        "decode": decoded,
        "colour": color,
        "resize": resized,
        "normalise": np.ascontiguousarray(image.transpose(2, 0, 1)),
    }


def compare(encoded_image, steps, path, samples=0, settings=None, config=CONFIG, kernels=None):
    with RecordingWriter(samples) as writer:
        encoded = writer.add(np.frombuffer(encoded_image, np.uint8), whole=True)
        entries = tuple(PreprocessingStep(name, writer.add(array)) for name, array in steps.items())
        index = replace(index_of(writer), image=encoded, settings=settings)
        index = replace(index, kernels=kernels or {})
        writer.write(path / "r.safetensors", replace(index, steps=entries))
    with Recording(path / "r.safetensors") as recording:
        return compare_preprocessing(config, recording, (), EVIDENCE)


@pytest.mark.parametrize("samples", [0, 16])
def test_ppdets_steps_are_picodets_bit_for_bit(encoded_image, tmp_path, samples):
    stage = compare(encoded_image, ppdet_steps(encoded_image), tmp_path, samples)
    assert (stage.name, stage.verdict, stage.findings) == ("preprocessing", "aligned", ())
    assert stage.summary == (
        "decode, color, resize, normalize equal bit for bit; "
        f"all five interps on the probe image, {EVIDENCE}"
    )


WRONG = {
    "linear": (
        {"interp": 1},
        "resize",
        "interp 2; the reference's is 1 (linear)",
    ),
    "nearest": ({"interp": 0}, "resize", "interp 2; the reference's is 0 (nearest)"),
    "floats": (
        {"resize": "float"},
        "resize",
        "the reference resizes floats, not bytes, with interp 2 (cubic)",
    ),
    "linear floats": (
        {"resize": "float", "interp": 1},
        "resize",
        "the reference resizes floats, not bytes, with interp 1 (linear)",
    ),
    "colors": (
        {"rgb": False},
        "color",
        "red and blue are exchanged: the reference has BGR here",
    ),
    "gray level": (
        {"mean": MEAN + np.array([0, 1 / 255, 0])},
        "normalize",
        "G: mean 0.456 and std 0.224, the reference's 0.45992 and 0.224",
    ),
    "std": (
        {"std": STD * np.array([1, 1, 1.01])},
        "normalize",
        "B: mean 0.406 and std 0.225, the reference's 0.406 and 0.22725",
    ),
    "none": (
        {"mean": np.zeros(3), "std": np.ones(3)},
        "normalize",
        "the reference scales to 0 .. 1 without mean and std",
    ),
    "bytes": (
        {"scale": False},
        "normalize",
        "the reference applies mean and std to values 0 .. 255",
    ),
}


@pytest.mark.parametrize("mistake", WRONG)
def test_the_first_step_that_differs_is_diagnosed(encoded_image, tmp_path, mistake):
    options, step, text = WRONG[mistake]
    stage = compare(encoded_image, ppdet_steps(encoded_image, **options), tmp_path)
    assert stage.verdict == "differs"
    assert [(finding.name, finding.diagnosis) for finding in stage.findings] == [(step, text)]
    assert stage.summary.startswith("decode, color, resize, normalize compared")


def test_colors_swapped_in_the_last_step(encoded_image, tmp_path):
    steps = ppdet_steps(encoded_image)
    steps["normalise"] = ppdet_steps(encoded_image, rgb=False)["normalise"]
    (finding,) = compare(encoded_image, steps, tmp_path).findings
    assert (finding.name, finding.diagnosis) == (
        "normalize",
        "red and blue are exchanged",
    )


def test_the_models_settings_may_be_wrong(encoded_image, tmp_path):
    """A model converted with mean 0.5; the reference has the standard mean."""
    numbers = Preprocessing(mean=(0.5, 0.5, 0.5))
    config = replace(CONFIG, preprocessing=numbers)
    settings = PreprocessingSettings((64, 64), 2, tuple(MEAN.tolist()), tuple(STD.tolist()))
    of_settings, of_step = compare(
        encoded_image, ppdet_steps(encoded_image), tmp_path, settings=settings, config=config
    ).findings
    assert of_settings.name == "settings: mean"
    assert of_settings.found == "(0.5, 0.5, 0.5)"
    assert of_settings.expected == "(0.485, 0.456, 0.406)"
    assert of_step.name == "normalize"
    assert (
        "the reference's are (0.485, 0.456, 0.406) and (0.229, 0.224, 0.225)" in of_step.diagnosis
    )


@pytest.mark.parametrize(
    ("change", "name"),
    [({"size": (64, 96)}, "size"), ({"interp": 1}, "interp"), ({"std": (1.0, 1.0, 1.0)}, "std")],
)
def test_settings_are_compared_where_no_step_is(encoded_image, tmp_path, change, name):
    settings = PreprocessingSettings((64, 64), 2, tuple(MEAN.tolist()), tuple(STD.tolist()))
    assert compare(encoded_image, {}, tmp_path, settings=settings).verdict == "aligned"
    (finding,) = compare(encoded_image, {}, tmp_path, settings=replace(settings, **change)).findings
    assert finding.name == f"settings: {name}"
    assert finding.expected == str(change[name])


def test_one_byte_off_is_found_and_placed(encoded_image, tmp_path):
    steps = ppdet_steps(encoded_image)
    steps["decode"] = steps["decode"].copy()
    steps["decode"][7, 11, 2] ^= 1
    (finding,) = compare(encoded_image, steps, tmp_path).findings
    assert finding.name == "decode"
    assert finding.found.startswith("1 of 6720 values differ; at [7, 11, 2]: ")
    assert finding.diagnosis == "no known cause reproduces the difference"


def test_another_shape(encoded_image, tmp_path):
    steps = ppdet_steps(encoded_image)
    steps["resize"] = steps["resize"][:, :60]
    (finding,) = compare(encoded_image, steps, tmp_path).findings
    assert (finding.found, finding.expected) == ("[64, 64, 3] float32", "[64, 60, 3] float32")


def test_in_a_summary_the_reason_is_found_by_key(encoded_image, tmp_path):
    (finding,) = compare(
        encoded_image, ppdet_steps(encoded_image, interp=1), tmp_path, samples=16
    ).findings
    assert finding.diagnosis == "interp 2; the reference's is 1 (linear)"
    assert "of 16 values differ" in finding.found


def test_nan_in_the_reference_differs(encoded_image, tmp_path):
    steps = ppdet_steps(encoded_image)
    steps["normalise"] = steps["normalise"].copy()
    steps["normalise"][1, 2, 3] = np.nan
    (finding,) = compare(encoded_image, steps, tmp_path).findings
    assert finding.name == "normalize"
    assert "at [1, 2, 3]" in finding.found
    assert finding.expected == "nan"


def test_probes_count_without_steps(encoded_image, tmp_path):
    path = tmp_path / "r.safetensors"
    with RecordingWriter(0) as writer:
        index = index_of(writer)
        writer.write(path, replace(index, settings=None))
    findings = (Finding("probe: interp 1", "other bits", "bit for bit"),)
    with Recording(path) as recording:
        stage = compare_preprocessing(CONFIG, recording, (), EVIDENCE)
        assert stage.verdict == "aligned"
        stage = compare_preprocessing(CONFIG, recording, findings, EVIDENCE)
    assert (stage.verdict, stage.findings) == ("differs", findings)


def test_steps_without_their_image_are_an_error(encoded_image, tmp_path):
    path = tmp_path / "r.safetensors"
    with RecordingWriter(0) as writer:
        key = writer.add(np.ones((2, 2, 3), np.uint8))
        writer.write(path, replace(index_of(writer), steps=(PreprocessingStep("decode", key),)))
    with pytest.raises(RecordingError, match="it has preprocessing steps, but no image"):
        Recording(path)


def test_the_last_step_is_the_input_of_detection(encoded_image):
    steps = preprocessing_steps(encoded_image, CONFIG)
    assert [(name, array.shape) for name, array in steps.items()] == [
        ("decode", (40, 56, 3)),
        ("colour", (40, 56, 3)),
        ("resize", (64, 64, 3)),
        ("normalise", (3, 64, 64)),
    ]


def other_kernels(encoded_image, tmp_path, samples, kernels, **options):
    """A reference with another cubic kernel: the exact values rounded, with a few exceptions."""
    steps = ppdet_steps(encoded_image, **options)
    with use_kernels("portable"):
        source = steps["colour"].astype("f8")
        exact = cv2.resize(source, None, fx=64 / 56, fy=64 / 40, interpolation=2).clip(0, 255)
    ties = np.flatnonzero(np.abs(exact - np.floor(exact) - 0.5) < 0.01)[:2]
    resized = np.rint(exact)
    resized.ravel()[ties] = 2 * np.floor(exact.ravel()[ties]) + 1 - resized.ravel()[ties]
    steps["resize"] = resized.astype("f4")
    image = ((steps["resize"] * np.float32(1 / 255) - MEAN).astype("f4") / STD).astype("f4")
    steps["normalise"] = np.ascontiguousarray(image.transpose(2, 0, 1))
    return compare(encoded_image, steps, tmp_path, samples, kernels=kernels)


@pytest.mark.parametrize("kernels", [{}, {"cubic": "unknown"}])
def test_another_kernel_is_no_fault(encoded_image, tmp_path, kernels):
    stage = other_kernels(encoded_image, tmp_path, 0, kernels)
    assert (stage.verdict, stage.findings) == ("aligned", ())
    expected = (
        "decode, color, normalize equal bit for bit; another resize kernel: at most 1 gray level"
    )
    assert stage.summary.startswith(expected)


def test_with_the_same_kernel_every_bit_counts(encoded_image, tmp_path):
    (finding,) = other_kernels(encoded_image, tmp_path, 0, fingerprint("native")).findings
    assert finding.name == "resize"


def test_an_older_summary_cannot_decide(encoded_image, tmp_path):
    stage = other_kernels(encoded_image, tmp_path, 16, {})
    assert stage.verdict == "not compared"
    assert "record it again" in stage.summary


def test_without_ipp_every_machine_compares_bit_for_bit(encoded_image, tmp_path):
    with use_kernels("portable"):
        steps, kernels = ppdet_steps(encoded_image), fingerprint("native")
    stage = compare(encoded_image, steps, tmp_path, 16, kernels=kernels)
    assert stage.verdict == "aligned"
    portable = replace(CONFIG, preprocessing=Preprocessing(resize="portable"))
    stage = compare(encoded_image, steps, tmp_path, 16, kernels=kernels, config=portable)
    assert stage.summary.startswith("decode, color, resize, normalize equal bit for bit")
