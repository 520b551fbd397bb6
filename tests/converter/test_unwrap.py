"""A model's own tensors, where ppdet saved something around it."""

from pathlib import Path

import numpy as np
import pytest

from picodet.converter.unwrap import unwrap
from picodet.errors import CheckpointError

X, Y, Z = (np.float32([value]) for value in range(3))
FILE = Path("x.pdparams")


@pytest.mark.parametrize("prefix", ["_layers.", "module.", "model."])
def test_a_prefix_of_all_names_is_removed(prefix):
    found = unwrap(FILE, {f"{prefix}x": X, f"{prefix}y": Y})
    note = f"the names of all tensors begin with {prefix}, which was removed"
    assert found == ({"x": X, "y": Y}, (note,), ())


def test_a_prefix_of_some_names_stays():
    arrays = {"_layers.x": X, "y": Y}
    assert unwrap(FILE, arrays) == (arrays, (), ())


@pytest.mark.parametrize(
    ("asked", "chosen", "other", "value"),
    [(None, "student", "teacher", X), ("teacher", "teacher", "student", Y)],
)
def test_a_distillation_holds_two_models(asked, chosen, other, value):
    arrays = {"_layers.student.model.x": X, "_layers.teacher.model.x": Y, "_layers.loss.w": Z}
    found = unwrap(FILE, arrays, asked)
    assert found.arrays == {"x": value}
    note = f"the weights of the {chosen} were used; --weight-set {other} selects the other"
    assert found.notes[1] == note
    assert set(found.left_out) == {f"{other}.model.x", "loss.w"}


def test_a_distillation_of_one_model():
    note = "the weights of the student were used"
    assert unwrap(FILE, {"student.x": X}) == ({"x": X}, (note,), ())
    with pytest.raises(CheckpointError, match=r"no tensor's name begins with teacher\."):
        unwrap(FILE, {"student.x": X}, "teacher")


@pytest.mark.parametrize(
    ("name", "weight", "scales"),
    [
        # as paddlepaddle 3.3.1 names them: QAT, ImperativeQuantAware, PTQ
        ("x.weight", "x.weight", ["x.weight_quanter._scale", "x.activation_quanter._accum"]),
        ("bn._mean", "bn._observed._mean", ["bn._observer._state"]),
        (
            "x.weight",
            "x._layer.weight",
            ["x._layer._fake_quant_weight._scale", "x._ma_output_scale._state"],
        ),
        ("bn._mean", "bn._observed._mean", []),
    ],
)
def test_quantized_layers_have_floats_and_scales(name, weight, scales):
    arrays = {weight: X, **dict.fromkeys(scales, Y)}
    assert unwrap(FILE, arrays) == ({name: X}, (), tuple(scales))


def test_integers_in_place_of_weights_are_refused():
    arrays = {"x.weight": X, "x.weight_quanter._dequanter._scales": Y}
    with pytest.raises(CheckpointError, match=r"x\.weight holds integers, .+ before PTQ\.convert"):
        unwrap(FILE, arrays)


def test_a_tensor_twice_is_refused():
    with pytest.raises(CheckpointError, match="with and without the names of a quantization"):
        unwrap(FILE, {"x.weight": X, "x._layer.weight": Y})
