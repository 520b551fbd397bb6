"""`picodet-align --training`, through the command line."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from trained_models import STAGES

from picodet.cli import align
from picodet.formats.meta import make_meta
from picodet.models.checkpoint import save
from scripts.fixtures import seeded
from scripts.fixtures.trained import GOLDEN, TRAINED, training_setup

NAME = "training_2021"


def saved(path, change=lambda weights: None):
    weights = {
        name: tensor.numpy() for name, tensor in training_setup(NAME).model.state_dict().items()
    }
    change(weights)
    save(path, weights, make_meta(TRAINED[NAME], "detector", "seeded", "0" * 64))
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("model") / "x.pth")


def run(*arguments):
    return CliRunner().invoke(align, ["--training", *map(str, arguments)])


@pytest.mark.slow
def test_the_same_training_is_aligned(model, tmp_path):
    json_path, page = tmp_path / "x.json", tmp_path / "x.html"
    done = run(GOLDEN / f"{NAME}.npz", model, "--json", json_path, "--html", page)
    assert done.exit_code == 0, done.output
    stages = {
        stage["name"]: stage["verdict"] for stage in json.loads(json_path.read_text())["stages"]
    }
    assert stages == dict.fromkeys(STAGES, "aligned")
    assert "gradients" in page.read_text()


@pytest.mark.slow
def test_another_weight_is_found_at_the_first_stage(tmp_path):
    def change(weights):
        weights["neck.conv_t.convs.0.bn.weight"][3] *= 1.01

    done = run(GOLDEN / f"{NAME}.npz", saved(tmp_path / "x.pth", change))
    assert done.exit_code == 1
    assert "575 of 576 tensors equal bit for bit" in " ".join(done.stdout.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.npz"], "there is no such file"),
        ([GOLDEN / "counts.json"], "not one; for --training"),
        ([GOLDEN / "rates.npz"], "not a readable recording of a training"),
        ([GOLDEN / f"{NAME}.npz", "--image", "x.jpg"], "--training needs images with their boxes"),
        ([GOLDEN / f"{NAME}.npz", "--input", "x.npz"], "a recording has its own images"),
        ([GOLDEN / f"{NAME}.npz", "--tolerance", "-1"], "is not in the range x>0"),
    ],
)
def test_what_cannot_be_compared_is_an_error(model, arguments, message):
    reference, *options = arguments
    done = run(reference, model, *options)
    assert done.exit_code == 2
    assert message in done.output


@pytest.mark.slow
@pytest.mark.parametrize("folder", ["picodet_s_416_coco", "picodet_xs_320_coco_lcnet"])
def test_ppdets_own_recordings(shared, tmp_path, folder):
    """Of momenta none was recorded: the exit code says that something could not be compared."""
    reference = shared / "reference" / folder
    done = run(reference, reference / f"{folder}.pdparams", "--json", tmp_path / "x.json")
    assert done.exit_code == 2, done.output
    found = json.loads((tmp_path / "x.json").read_text())["stages"]
    stages = {stage["name"]: stage["verdict"] for stage in found}
    assert stages == dict.fromkeys(STAGES, "aligned") | {"momentum": "not compared"}


@pytest.mark.slow
@pytest.mark.paddle
def test_live_ppdet(paddle_python, tmp_path):
    """In float64, of weights that are not those of the recording."""
    config = TRAINED[NAME]
    shapes = seeded.shapes(config)
    weights = {
        key: value * np.float32(1.25) if ".head_" in key else value
        for key, value in seeded.checkpoint(shapes).items()
    }
    path = tmp_path / "picodet_x.pdparams"
    seeded.write(weights, path)
    model = tmp_path / "x.pth"
    from picodet.cli import convert

    size = "x".join(map(str, config.input_size))
    done = CliRunner().invoke(convert, [str(path), str(model), "--input-size", size])
    assert done.exit_code == 0, done.output
    done = run(path, model, "--float64", "--paddle-python", paddle_python)
    assert done.exit_code == 0, done.output
