"""ONNX files of other architectures than PicoDet-S, as several exporters write them."""

from dataclasses import replace

import own_recording
import pytest
from exporting import export_onnx

from picodet.alignment import session
from picodet.models.head import SCORE_EPSILON
from picodet.zoo.architectures import MOBILENET, RESNET, S_NPU, SHUFFLENET, XS_LCNET

pytestmark = pytest.mark.slow

WILD = {  # how each is exported: unfolded, or folded and without the epsilon of 2022
    "picodet_xs_lcnet": (XS_LCNET, True),
    "picodet_s_npu": (S_NPU, False),
    "picodet_mobilenetv3": (MOBILENET, True),
    "picodet_r18": (RESNET, False),
    "picodet_shufflenetv2": (SHUFFLENET, True),
}


@pytest.mark.parametrize("name", WILD)
def test_an_export_is_aligned_with_its_model(name, tmp_path):
    variant, folded = WILD[name]
    config = replace(variant, classes=("a", "b", "c"), input_size=(64, 64))
    model = own_recording.pristine(config)
    recording = own_recording.record(model, tmp_path / "recording.safetensors")
    export_onnx(model, tmp_path / f"{name}.onnx", folded, None if folded else SCORE_EPSILON)
    fed = session.InputOptions(None, None, False)
    model = tmp_path / f"{name}.onnx"
    comparison = session.compare(recording, model, fed, None, None, lambda *_: None)
    assert {stage.verdict for stage in comparison.stages} == {"aligned"}
    assert comparison.unpaired == ()
    heads = next(stage.summary for stage in comparison.stages if stage.name == "heads")
    assert ("scores as squares" in heads) == (config.head == "pico_head_v2")
    assert ("the model lacks the 1e-09" in heads) == (config.head == "pico_head_v2" and folded)
