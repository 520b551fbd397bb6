"""Averaged and raw weights of a training, which ppdet saves under each other's suffixes."""

import pickle

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


def test_the_models_own_tensors_are_found_and_the_others_named(tmp_path):
    """As test_unwrap.py has it, in a file that holds more than weights."""
    one = np.float32([1])
    weights = {"_layers.x.weight": one, "_layers.x.weight_quanter._scale": one}
    path = tmp_path / "x.pdparams"
    path.write_bytes(pickle.dumps({"model": weights, "epoch": 3}, 2))
    found = read_checkpoint(path, None)
    assert found.arrays == {"x.weight": one}
    assert found.dropped == ("epoch", "x.weight_quanter._scale")
    assert "begin with _layers., which was removed" in found.origin.notes[0]


def test_an_exchanged_pair_of_wrapped_models_is_noticed_too(tmp_path):
    for suffix, bins in ((".pdparams", EXACT), (".pdema", AVERAGED)):
        seeded.write({f"_layers.{BINS}": bins}, tmp_path / f"x{suffix}")
    assert "may be swapped" in read_checkpoint(tmp_path / "x.pdparams", None).origin.notes[0]
