"""Class names are compared where both sides state them, and only there."""

from dataclasses import replace

import own_recording
import pytest

from picodet.alignment import open_candidate, session
from picodet.alignment.checks.class_names import FINDING_NAME, compare_class_names
from picodet.alignment.recording.reader import Recording
from picodet.alignment.result import Stage
from picodet.alignment.session import InputOptions
from picodet.exporter.export import export
from picodet.exporter.options import ExportOptions

HEADS = Stage("heads", "aligned", "2 scores")
FOUR = ("cat", "dog", "traffic light", "boat")


def test_equal_names_are_noted():
    stage = compare_class_names(HEADS, FOUR, list(FOUR))
    assert (stage.verdict, stage.findings) == ("aligned", ())
    assert stage.summary == "2 scores; the names of the classes are equal"


@pytest.mark.parametrize(("model", "reference"), [(None, FOUR), (FOUR, None), (None, None)])
def test_names_that_one_side_lacks_are_not_compared(model, reference):
    assert compare_class_names(HEADS, model, reference) == HEADS


@pytest.mark.parametrize(
    ("reference", "found", "expected", "diagnosis"),
    [
        (
            ("dog", "cat", *FOUR[2:]),
            "0 is 'cat', 1 is 'dog'",
            "0 is 'dog', 1 is 'cat'",
            "the same names in another order",
        ),
        (
            ("cat", "dog", "Traffic_Light", "boat"),
            "2 is 'traffic light'",
            "2 is 'Traffic_Light'",
            "the same names in another spelling",
        ),
        (
            FOUR[::-1],
            "0 is 'cat', 1 is 'dog', 2 is 'traffic light' and 1 more",
            "0 is 'boat', 1 is 'traffic light', 2 is 'dog' and 1 more",
            "the same names in another order",
        ),
        (("cat", "cow", *FOUR[2:]), "1 is 'dog'", "1 is 'cow'", "1 of 4 names differ"),
        (FOUR[:3], "4 names", "3 names", ""),
    ],
)
def test_what_differs_is_named(reference, found, expected, diagnosis):
    stage = compare_class_names(HEADS, FOUR, reference)
    assert stage.verdict == "differs"
    (finding,) = stage.findings
    assert finding.name == FINDING_NAME
    assert (finding.found, finding.expected, finding.diagnosis) == (found, expected, diagnosis)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The same weights with two lists of class names; a recorded export of the first."""
    folder = tmp_path_factory.mktemp("classes")
    model = own_recording.pristine()
    names = tuple(f"thing {i}" for i in range(len(model.config.classes)))
    for name, listed in (("right", names), ("wrong", names[::-1])):
        model.config = replace(model.config, classes=listed)
        own_recording.save(model, folder / f"{name}.pth")
    export(folder / "right.pth", folder / "right.onnx", ExportOptions("heads"), verified=False)
    nothing = InputOptions(None, None, False)
    session.record(
        *(folder / "right.onnx", folder / "r.safetensors", nothing, False),
        *(model.config.input_size, False, None, lambda *_: None),
    )
    return folder


def compare(folder, model):
    return session.compare(
        folder / "r.safetensors",
        folder / model,
        InputOptions(None, None, False),
        None,
        None,
        lambda *_: None,
    )


@pytest.mark.slow
def test_an_export_names_them(files):
    with Recording(files / "r.safetensors") as recording:
        assert recording.index.classes[:2] == ("thing 0", "thing 1")
    assert open_candidate.open_candidate(files / "right.onnx").candidate.classes[0] == "thing 0"
    assert compare(files, "right.pth").aligned


@pytest.mark.slow
def test_another_order_is_a_finding(files):
    comparison = compare(files, "wrong.pth")
    (differing,) = (stage for stage in comparison.stages if stage.verdict != "aligned")
    (finding,) = differing.findings
    assert (differing.name, finding.name) == ("heads", FINDING_NAME)
    assert finding.diagnosis == "the same names in another order"
