"""The values of the bins compared with references of raw heads, which have none."""

import json

import numpy as np
import onnx
import own_recording
import pytest
import torch
from exporting import export_onnx

from picodet.alignment import session
from picodet.alignment.onnx import model as onnx_model
from picodet.alignment.session import InputOptions
from picodet.converter import bins
from picodet.converter.configure import ConvertOptions as ConversionWanted
from picodet.converter.convert import load
from picodet.errors import CheckpointError
from picodet.exporter.export import export
from picodet.exporter.options import ExportOptions

pytestmark = pytest.mark.slow

PROJECT = "head.integral.project"
EXACT = torch.arange(8, dtype=torch.float32)


@pytest.fixture(scope="module")
def heads(pristine, tmp_path_factory):
    """A recording of an ONNX file of raw heads without metadata."""
    folder = tmp_path_factory.mktemp("heads")
    export_onnx(pristine, folder / "heads.onnx")
    out = folder / "heads.safetensors"
    np.save(folder / "input.npy", own_recording.random_image())
    fed = InputOptions(None, folder / "input.npy", False)
    session.record(folder / "heads.onnx", out, fed, False, None, False, None, lambda *_: None)
    return out


@pytest.fixture
def compare(heads, model, tmp_path):
    def compare(project, reference=heads):
        model.head.integral.project.copy_(project)
        file = own_recording.save(model, tmp_path / "model.pth")
        return session.compare(
            reference, file, InputOptions(None, None, False), None, None, lambda *_: None
        )

    return compare


def differing(comparison):
    return [stage.name for stage in comparison.stages if stage.verdict != "aligned"]


def test_bins_with_ppdets_ema_are_right(compare):
    averaged = torch.from_numpy(bins._ema_values(tuple(EXACT.tolist()))[-1])
    assert compare(averaged).aligned


@pytest.mark.parametrize(
    ("project", "found", "diagnosis"),
    [
        (EXACT * 1.0001, "at [7]: 7.0007", "all values are off by a factor of 1.0001"),
        (EXACT * 1.019, "at [7]: 7.133", "all values are off by a factor of 1.019"),
        (
            torch.where(EXACT == 5, 5.02, EXACT),
            "at [5]: 5.01999",
            "one value is off, at [5], by a factor of 1.004",
        ),
    ],
)
def test_other_bins_are_found(compare, project, found, diagnosis):
    comparison = compare(project)
    assert differing(comparison) == ["weights", "decoding"]
    weights, decoding = (r for r in comparison.stages if r.verdict == "differs")
    (finding,) = weights.findings
    assert finding.name == PROJECT
    assert finding.found.startswith(found)
    assert finding.expected.endswith("its heads are decoded with 0 .. 7")
    assert finding.diagnosis == f"{PROJECT}: {diagnosis}"
    assert [finding.name for finding in decoding.findings] == ["probe: boxes"]


@pytest.fixture
def own(tmp_path):
    """An export of the raw heads of a model whose bins are not whole numbers."""

    def own(project):
        model = own_recording.pristine()
        model.head.integral.project.copy_(project)
        source = own_recording.save(model, tmp_path / "source.pth")
        report = export(source, tmp_path / "own.onnx", ExportOptions("heads"), verified=False)
        return tmp_path / "own.onnx", report

    return own


def test_an_export_of_raw_heads_states_the_bins(own, compare):
    file, report = own(EXACT * 1.019)
    (note,) = report.notes
    assert "7 is 7.13300037" in note
    assert differing(compare(EXACT, file)) == ["weights"]
    assert compare(EXACT * 1.019, file).aligned


def test_an_export_is_compared_and_converted_with_its_stated_bins(own, heads):
    file, _ = own(EXACT * 1.019)
    assert onnx_model.load(file).weights.single[PROJECT][7] == pytest.approx(7.133)
    fed = InputOptions(None, None, False)
    comparison = session.compare(heads, file, fed, None, None, lambda *_: None)
    assert differing(comparison)[0] == "weights"
    _, converted = load(file, ConversionWanted())
    assert converted.head.integral.project[7].item() == pytest.approx(7.133)


@pytest.mark.parametrize("stated", [[0, 1, 2], [0, "a"], None])
def test_invalid_bins_are_rejected(own, stated):

    file, _ = own(EXACT)
    proto = onnx.load(file)
    (entry,) = (entry for entry in proto.metadata_props if entry.key == "picodet")
    entry.value = json.dumps(json.loads(entry.value) | {"project": stated})
    onnx.save(proto, file)
    with pytest.raises(CheckpointError, match="invalid metadata picodet: ValueError pro"):
        load(file, ConversionWanted())
