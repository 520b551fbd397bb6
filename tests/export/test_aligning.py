"""picodet-align knows our exports, as MODEL and as REFERENCE."""

import pytest

from picodet.alignment import session
from picodet.errors import RecordingError
from picodet.export.api import export
from picodet.export.options import Wanted

FORMS = {
    "heads": Wanted("heads", 11),
    "heads of any size": Wanted("heads", 14, "dynamic", "dynamic"),
    "detections of any size": Wanted("detections", 11, "dynamic", "dynamic"),
    "detections of one input": Wanted("detections", 14, single_input=True),
}


@pytest.fixture(scope="module")
def exports(checkpoint_file, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exports")
    for name, wanted in FORMS.items():
        export(checkpoint_file, folder / f"{name}.onnx", wanted, verified=False)
    return folder


def differing(reference, model):
    fed = session.InputOptions(None, None, False)
    comparison = session.compare(reference, model, fed, None, None, lambda *_: None)
    return [
        f"{stage.name}: {stage.summary}"
        for stage in comparison.stages
        if stage.verdict != "aligned"
    ]


@pytest.mark.parametrize("name", FORMS)
def test_an_export_is_aligned_with_paddles_layout(exports, name):
    assert not differing(exports / "heads.onnx", exports / f"{name}.onnx")


def test_the_model_is_aligned_with_its_export(exports, checkpoint_file):
    assert not differing(exports / "detections of any size.onnx", checkpoint_file)


def test_boxes_in_the_networks_pixels_are_no_reference(exports, checkpoint_file):
    with pytest.raises(RecordingError, match="takes no scale_factor"):
        differing(exports / "detections of one input.onnx", checkpoint_file)
