"""The model's tensors against the reference's: differences are found, located and explained."""

from dataclasses import replace

import own_recording
import pytest
import torch
from exporting import export_onnx
from own_recording import CONFIG

from picodet.alignment.checks.weights import compare_weights
from picodet.alignment.pairing.by_name import pair_by_name
from picodet.alignment.pairing.by_structure import pair_by_structure
from picodet.alignment.pairing.pairs import Pairing
from picodet.alignment.recording.index import Weight
from picodet.alignment.recording.network_input import NetworkInput
from picodet.alignment.recording.reader import Recording
from picodet.alignment.reference.onnx_runtime import record_onnx_file
from picodet.alignment.reference.request import RecordRequest
from picodet.alignment.tolerance import Tolerance

NOISE = Tolerance(30.0)
STEM = "backbone.stem.conv.weight"
BN = "neck.first_top_conv.bn1"


@pytest.fixture
def state(pristine):
    return {name: tensor.clone() for name, tensor in pristine.state_dict().items()}


def compare(state, path, change=lambda index: index):
    with Recording(path) as recording:
        recording.index = change(recording.index)
        pairing = pair_by_name(recording.index, own_recording.table())
        return compare_weights(state, recording, pairing, NOISE)


def test_equal_tensors_are_counted(state, reference):
    stage = compare(state, reference)
    assert (stage.name, stage.verdict, stage.findings) == ("weights", "aligned", ())
    assert stage.summary == "576 of 576 tensors equal bit for bit"


def test_one_value_off_by_one_percent(state, reference):
    value = state[STEM][3, 2, 1, 0].item()
    state[STEM][3, 2, 1, 0] *= 1.01
    stage = compare(state, reference)
    assert stage.verdict == "differs"
    assert stage.summary == "575 of 576 tensors equal bit for bit"
    (finding,) = stage.findings
    assert finding.name == STEM
    assert finding.found.startswith("1 of 648 values differ; at [3, 2, 1, 0]: ")
    assert float(finding.found.split(": ")[1]) == pytest.approx(value * 1.01)
    assert float(finding.expected) == pytest.approx(value)
    assert finding.diagnosis == f"{STEM}: one value is off, at [3, 2, 1, 0], by a factor of 1.01"


def test_one_bit_is_enough(state, reference):
    bits = state[STEM].view(torch.int32)
    bits[0, 0, 0, 0] ^= 1
    (finding,) = compare(state, reference).findings
    assert "1 of 648 values differ; at [0, 0, 0, 0]" in finding.found


def test_swapped_statistics_are_reported_once_each(state, reference):
    mean, variance = f"{BN}.running_mean", f"{BN}.running_var"
    state[mean], state[variance] = state[variance], state[mean]
    findings = compare(state, reference).findings
    assert [finding.name for finding in findings] == [mean, variance]
    text = f"{BN}: running_mean and running_var are exchanged"
    assert {finding.diagnosis for finding in findings} == {text}


def test_another_shape(state, reference):
    state[STEM] = state[STEM][:, :, :2]
    (finding,) = compare(state, reference).findings
    assert (finding.found, finding.expected) == ("[24, 3, 2, 3]", "[24, 3, 3, 3]")


def test_not_finite_values_are_found(state, reference):
    state[STEM][0, 0, 0, 1] = float("nan")
    (finding,) = compare(state, reference).findings
    assert finding.found == "1 of 648 values differ; at [0, 0, 0, 1]: nan"
    assert finding.diagnosis == f"{STEM}: 1 values are NaN or Inf"


def test_a_tensor_that_only_the_model_has(state, reference):
    def change(index):
        return replace(index, weights=index.weights[1:])

    stage = compare(state, reference, change)
    (finding,) = stage.findings
    assert (finding.name, finding.expected) == (STEM, "no such tensor in the reference")
    assert stage.summary == "575 of 575 tensors equal bit for bit"


def test_what_only_the_reference_has(state, reference):
    def change(index):
        key = index.weights[0].key
        known = Weight("head.p3_feat.scale_reg", key)  # the converter skips it
        return replace(index, weights=(*index.weights, known, Weight("head.stranger", key)))

    (finding,) = compare(state, reference, change).findings
    assert (finding.name, finding.found) == ("head.stranger", "no such tensor in the model")


def test_an_extra_tensor_of_the_model(state, reference):
    state["neck.conv_t.alpha"] = torch.zeros(1)
    (finding,) = compare(state, reference).findings
    assert finding.name == "neck.conv_t.alpha"


def test_comparing_nothing_is_not_aligned(state, reference):
    with Recording(reference) as recording:
        stage = compare_weights({}, recording, Pairing((), {}, ()), NOISE)
    assert stage.verdict == "not compared"


def test_batch_counters_are_ignored(state, reference):
    state["backbone.stem.bn.num_batches_tracked"] += 7
    assert compare(state, reference).verdict == "aligned"


def test_a_summary_knows_that_a_value_differs_if_not_where(state, summary):
    assert compare(state, summary).verdict == "aligned"
    state[STEM][0, 0, 0, 1] += 1  # lies between two samples
    (finding,) = compare(state, summary).findings
    assert (finding.found, finding.expected) == (
        "other bits than the reference's",
        "equal tensors; all samples are equal",
    )
    state[STEM] += 1
    (finding,) = compare(state, summary).findings
    assert finding.found.startswith("differs in 16 of 16 samples; at ")


def test_exchanged_tensors_show_in_a_summary_too(state, summary):
    first, second = "neck.conv_t.convs.1.bn.bias", "neck.conv_t.convs.2.bn.bias"
    state[first], state[second] = state[second], state[first]
    finding, _ = compare(state, summary).findings
    assert finding.diagnosis == f"{first}: exchanged with the reference's {second}"


@pytest.fixture(scope="module", params=[0, 16], ids=["full", "summary"])
def folded(pristine, tmp_path_factory, request):
    """An ONNX file with folded batch norms."""
    folder = tmp_path_factory.mktemp("onnx")
    export_onnx(pristine, folder / "a.onnx", folded=True)
    fed = NetworkInput(own_recording.random_image(), torch.ones(2).numpy(), None)
    out = folder / "r.safetensors"
    order = RecordRequest(
        folder / "a.onnx", out, None, None, None, float64=False, samples=request.param
    )
    record_onnx_file(order, fed, lambda *_: None)
    return out


def compare_folded(state, path):
    with Recording(path) as recording:
        pairing = pair_by_structure(CONFIG, recording.index)
        return compare_weights(state, recording, pairing, NOISE)


@pytest.mark.slow
def test_folded_batch_norms_are_compared_folded(state, folded):
    stage = compare_folded(state, folded)
    assert stage.findings == ()
    assert stage.summary == (
        "60 of 60 tensors equal bit for bit; 103 batch norms that the reference has folded, "
        "within rounding"
    )


@pytest.mark.slow
@pytest.mark.parametrize("leaf", ["weight", "bias", "running_mean", "running_var"])
def test_statistics_off_by_one_in_a_thousand_show_folded(state, folded, leaf):
    state[f"{BN}.{leaf}"] *= 1.001  # all, as a summary has samples
    findings = compare_folded(state, folded).findings
    assert {finding.name for finding in findings} == {
        "neck.first_top_conv.dwconv with neck.first_top_conv.bn1"
    }


def test_another_dtype_is_a_difference(state, summary):
    """A summary keeps its samples in float64, whatever the tensor's dtype is."""
    state[STEM] = state[STEM].double()
    (finding,) = compare(state, summary).findings
    assert (finding.found, finding.expected) == ("[24, 3, 3, 3] float64", "[24, 3, 3, 3] float32")
