"""Averaged and raw weights of a training, which ppdet saves under each other's suffixes."""

import numpy as np
import pytest

from picodet.converter.paddle_checkpoints import read_checkpoint, read_training_folder
from picodet.converter.readers import open_source
from picodet.errors import CheckpointError
from scripts.fixtures import seeded

BINS = "head.distribution_project.project"
EXACT, AVERAGED = np.arange(8, dtype=np.float32), np.arange(8, dtype=np.float32) * np.float32(1.001)


@pytest.fixture
def folder(tmp_path):
    """Of a training, which ended."""
    folder = tmp_path / "picodet_s_320_coco"
    folder.mkdir()
    save(folder / "model_final.pdparams", 1, AVERAGED)
    save(folder / "model_final.pdema", 2, EXACT)
    (folder / "model_final.pdopt").touch()
    return folder


def save(path, value, bins=EXACT):
    seeded.write({"x": np.float32([value]), BINS: bins}, path)


def value_of(source):
    return source.arrays["x"].item()


def refused(read, *arguments):
    with pytest.raises(CheckpointError) as caught:
        read(*arguments)
    return str(caught.value)


@pytest.mark.parametrize("named", ["model_final.pdparams", "model_final.pdema"])
@pytest.mark.parametrize(("which", "value"), [("ema", 1), ("raw", 2)])
def test_the_suffixes_say_the_opposite_of_what_is_in_them(folder, named, which, value):
    assert value_of(read_checkpoint(folder / named, which)) == value


def test_without_a_choice_it_is_the_file_that_was_named_and_that_is_reported(folder):
    averaged = read_checkpoint(folder / "model_final.pdparams", None)
    assert (value_of(averaged), averaged.origin.notes) == (
        1,
        (
            "the EMA weights were used; the raw ones are in model_final.pdema: "
            "--weight-set raw selects them",
        ),
    )
    raw = read_checkpoint(folder / "model_final.pdema", None)
    assert (value_of(raw), raw.origin.path.suffix) == (2, ".pdema")
    assert raw.origin.notes[0].startswith("the raw weights were used; the EMA ones are")


def test_a_file_alone_needs_no_word(folder):
    (folder / "model_final.pdema").unlink()
    assert read_checkpoint(folder / "model_final.pdparams", None).origin.notes == ()
    assert read_checkpoint(folder / "model_final.pdparams", "ema").origin.notes == ()


@pytest.mark.parametrize(("which", "left"), [("raw", ".pdparams"), ("ema", ".pdema")])
def test_a_partner_that_is_missing(folder, which, left):
    (folder / f"model_final{'.pdema' if which == 'raw' else '.pdparams'}").unlink()
    text = refused(read_checkpoint, folder / f"model_final{left}", which)
    assert f"file not found; --weight-set {which} needs it: since ppdet 2.4" in text


@pytest.mark.parametrize("name", ["model_final.pdparams", "model_final.pdema"])
def test_an_exchanged_pair_is_noticed_by_its_bins(folder, name):
    """The average is of everything, constants too; weights of the last step have them exact."""
    save(folder / "model_final.pdparams", 2, EXACT)
    save(folder / "model_final.pdema", 1, AVERAGED)
    (note,) = read_checkpoint(folder / name, None).origin.notes
    assert "The two may be swapped: the bins' values in .pdema went through an EMA" in note


@pytest.mark.parametrize("bins", [(EXACT, EXACT), (AVERAGED, AVERAGED), (AVERAGED, EXACT)])
def test_and_no_other_pair_is_taken_for_it(folder, bins):
    for suffix, value in zip((".pdparams", ".pdema"), bins, strict=True):
        save(folder / f"model_final{suffix}", 1, value)
    (note,) = read_checkpoint(folder / "model_final.pdparams", None).origin.notes
    assert "exchanged" not in note


def test_a_partner_that_is_damaged_does_not_matter(folder):
    (folder / "model_final.pdema").write_text("damaged")
    assert value_of(read_checkpoint(folder / "model_final.pdparams", None)) == 1
    assert "--weight-set ema" not in refused(
        read_checkpoint, folder / "model_final.pdparams", "raw"
    )


@pytest.mark.parametrize("which", ["average", "EMA", ""])
def test_there_are_no_other_sets(folder, which):
    text = refused(read_checkpoint, folder / "model_final.pdparams", which)
    assert f"--weight-set {which}; expected one of ema, raw, student, teacher" in text


def test_another_suffix_has_no_partner(folder):
    """Though a .pdparams of that name lies beside it."""
    save(folder / "model_final.bak", 3)
    read = read_checkpoint(folder / "model_final.bak", None)
    assert (value_of(read), read.origin.notes) == (3, ())


class TestFolder:
    def test_is_called_after_its_config(self, folder):
        read = read_training_folder(folder, None)
        assert (value_of(read), read.hints.name) == (1, "picodet_s_320_coco")
        assert read.origin.form == "ppdet training folder"
        assert read.origin.path == folder / "model_final.pdparams"
        assert value_of(read_training_folder(folder, "raw")) == 2
        assert value_of(open_source(folder, "raw")) == 2

    @pytest.mark.parametrize(
        ("names", "value"),
        [
            (["0", "best_model", "model_final"], 1),
            (["0", "1", "best_model"], 5),
            (["49"], 5),
        ],
    )
    def test_the_final_weights_or_the_best_or_the_only_ones(self, folder, names, value):
        (folder / "model_final.pdparams").unlink()
        (folder / "model_final.pdema").unlink()
        for name in names:
            at = {"model_final": 1, "best_model": 5, "49": 5}.get(name, 0)
            save(folder / f"{name}.pdparams", at)
        assert value_of(read_training_folder(folder, None)) == value

    def test_of_several_others_one_has_to_be_named(self, folder):
        (folder / "model_final.pdparams").rename(folder / "0.pdparams")
        save(folder / "1.pdparams", 1)
        text = refused(read_training_folder, folder, None)
        assert (
            "found 0, 1; expected one .pdparams, or model_final or best_model; name the file"
            in text
        )

    def test_without_weights_it_is_none(self, folder):
        for name in ("model_final.pdparams", "model_final.pdema"):
            (folder / name).unlink()
        assert "found no .pdparams" in refused(read_training_folder, folder, None)
        assert "holds model_final.pdopt; expected a .pdparams" in refused(open_source, folder)

    def test_the_optimizers_state_is_refused_as_such(self, folder):
        text = refused(open_source, folder / "model_final.pdopt")
        assert "the state of an optimizer; give the .pdparams beside it" in text


def read(folder, arrays, weight_set=None):
    seeded.write(arrays, folder / "x.pdparams")
    return read_checkpoint(folder / "x.pdparams", weight_set)


X, Y = np.float32([1]), np.float32([2])


@pytest.mark.parametrize("prefix", ["_layers.", "module."])
def test_a_prefix_of_all_names_is_removed(tmp_path, prefix):
    found = read(tmp_path, {f"{prefix}x": X, f"{prefix}y": Y})
    assert list(found.arrays) == ["x", "y"]
    note = f"the names of all tensors begin with {prefix}, which was removed"
    assert found.origin.notes == (note,)


def test_a_prefix_of_some_names_stays(tmp_path):
    assert list(read(tmp_path, {"_layers.x": X, "y": Y}).arrays) == ["_layers.x", "y"]


@pytest.mark.parametrize(
    ("weight_set", "value", "left"),
    [
        (
            None,
            X,
            "student were used; 1 tensors of the teacher were left out: --weight-set teacher",
        ),
        (
            "teacher",
            Y,
            "teacher were used; 1 tensors of the student were left out: --weight-set st",
        ),
    ],
)
def test_a_distillation_holds_two_models(tmp_path, weight_set, value, left):
    arrays = {"_layers.student.model.x": X, "_layers.teacher.model.x": Y}
    found = read(tmp_path, arrays, weight_set)
    assert found.arrays == {"x": value}
    assert left in found.origin.notes[1]


def test_a_distillation_of_one_model(tmp_path):
    found = read(tmp_path, {"student.x": X})
    assert found.arrays == {"x": X}
    assert found.origin.notes == ("the weights of the student were used",)
    with pytest.raises(CheckpointError, match=r"no tensor's name begins with teacher\."):
        read(tmp_path, {"student.x": X}, "teacher")


@pytest.mark.parametrize(
    ("layer", "weight", "scales"),
    [
        # as paddlepaddle 3.3.1 names them: QAT, ImperativeQuantAware, PTQ
        ("x", "x.weight", ["x.weight_quanter._scale", "x.activation_quanter._accum"]),
        ("bn", "bn._observed._mean", ["bn._observer._state"]),
        (
            "x",
            "x._layer.weight",
            ["x._layer._fake_quant_weight._scale", "x._ma_output_scale._state"],
        ),
        ("bn", "bn._observed._mean", []),
    ],
)
def test_quantized_layers_have_floats_and_scales(tmp_path, layer, weight, scales):
    found = read(tmp_path, {weight: X, **dict.fromkeys(scales, Y)})
    assert found.arrays == {f"{layer}.{weight.split('.')[-1]}": X}
    assert list(found.dropped) == scales


def test_integers_in_place_of_weights_are_refused(tmp_path):
    arrays = {"x.weight": X, "x.weight_quanter._dequanter._scales": Y}
    with pytest.raises(CheckpointError, match=r"x\.weight holds integers, .+ before PTQ\.convert"):
        read(tmp_path, arrays)
