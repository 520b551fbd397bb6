"""picodet-align takes picodet's exports as MODEL and as REFERENCE."""

import pytest

from picodet.alignment import session
from picodet.errors import RecordingError
from picodet.exporter.export import export
from picodet.exporter.options import ExportOptions

FORMS = {
    "heads": ExportOptions("heads", 11),
    "heads of any size": ExportOptions("heads", 14, "dynamic", "dynamic"),
    "detections of any size": ExportOptions("detections", 11, "dynamic", "dynamic"),
    "detections of one input": ExportOptions("detections", 14, single_input=True),
}


@pytest.fixture(scope="module")
def exports(checkpoint_file, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exports")
    for name, options in FORMS.items():
        export(checkpoint_file, folder / f"{name}.onnx", options, verified=False)
    return folder


def differing(reference, model):
    fed = session.InputOptions(None, None, False)
    comparison = session.compare(reference, model, fed, None, None, lambda *_: None)
    return [
        f"{stage.name}: {stage.summary}"
        for stage in comparison.stages
        if stage.verdict != "aligned"
    ]


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMS)
def test_an_export_is_aligned_with_paddles_layout(exports, name):
    assert not differing(exports / "heads.onnx", exports / f"{name}.onnx")


@pytest.mark.slow
def test_the_model_is_aligned_with_its_export(exports, checkpoint_file):
    assert not differing(exports / "detections of any size.onnx", checkpoint_file)


@pytest.mark.slow
def test_a_single_input_export_is_not_a_reference(exports, checkpoint_file):
    with pytest.raises(RecordingError, match="has no input scale_factor"):
        differing(exports / "detections of one input.onnx", checkpoint_file)
