"""A tensor compared with the reference's, whole or by samples."""

import own_recording
import pytest
import torch

from picodet.alignment.pairing.by_name import pair_by_name
from picodet.alignment.recording.reader import Recording
from picodet.alignment.reference_tensors import ReferenceTensors
from picodet.alignment.tolerance import Tolerance

PREDICTOR = ("head.predictors.0", 0)


@pytest.fixture(params=["reference", "summary"])
def recorded(request):
    with Recording(request.getfixturevalue(request.param)) as recording:
        yield ReferenceTensors(recording, pair_by_name(recording.index, own_recording.table()))


def test_another_dtype_is_a_difference(recorded, pristine):
    """A summary keeps its samples in float64, whatever the tensor's dtype is."""
    taken = {}
    hook = pristine.head.predictors[0].register_forward_hook(
        lambda _, __, output: taken.update(made=output.detach().clone())
    )
    with torch.inference_mode():
        pristine(torch.from_numpy(own_recording.random_image()))
    hook.remove()
    (key,) = recorded.calls[PREDICTOR].outputs
    made = taken["made"]
    assert recorded.measure_difference(made, key, Tolerance(10.0), [made, made.double()]).ok
    found = recorded.measure_difference(made.double(), key, Tolerance(10.0), [made, made.double()])
    assert found.problem == "torch.float64, the reference's is torch.float32"
