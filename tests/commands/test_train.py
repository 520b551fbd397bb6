import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
import torch
from click.testing import CliRunner
from drawn_coco import EMPTY_IMAGE, write_dataset

from picodet.cli import main, train
from picodet.commands.train import OUTPUT_FILES
from picodet.models.checkpoint import load_with_meta
from picodet.system import locks
from picodet.training import build
from picodet.training import checkpoint as checkpoints
from picodet.training.step import Stepper

ROOT = Path(__file__).parents[2]
RECIPE = """
recipe: picodet_s_320_coco
epochs: 2
batches: {per_gpu: 2, gpus: 1}
input_size: 96
augmentation: {sizes: [96, 128]}
schedule: {base_lr: 0.01, warmup_steps: 2}
snapshot_epochs: 1
"""
STEPS = 4  # of an epoch: eight of the ten images have a box that is no crowd


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A dataset, a recipe and the names of the classes."""
    folder = tmp_path_factory.mktemp("files")
    write_dataset(folder / "coco")
    (folder / "recipe.yml").write_text(RECIPE)
    (folder / "classes.txt").write_text("red\ngreen\nblue\n")
    return folder


def arguments(files, out, *more):
    images, boxes = files / "coco/val2017", files / "coco/annotations/instances_val2017.json"
    data = ["--images", images, "--annotations", boxes]
    evaluated = ["--val-images", images, "--val-annotations", boxes]
    options = ["--classes", files / "classes.txt", "--workers", 0, "--out", out]
    return list(map(str, [files / "recipe.yml", *data, *evaluated, *options, *more]))


@pytest.fixture(scope="module")
def whole(files, tmp_path_factory):
    """A training that nobody disturbs: its folder, and what it printed."""
    out = tmp_path_factory.mktemp("whole") / "out"
    report = out.parent / "report.json"
    done = CliRunner().invoke(train, arguments(files, out, "--json", report))
    assert done.exit_code == 0, done.output
    return out, done, json.loads(report.read_text())


def last_checkpoint(out):
    return checkpoints.newest(out / checkpoints.FOLDER).read_bytes()


@pytest.mark.slow
def test_it_trains_and_says_what_it_did(whole):
    out, done, report = whole
    assert "base learning rate 0.01 for 2 images per step, as in the recipe" in done.stderr
    assert f"8 images, {STEPS} steps per epoch" in done.stderr
    assert "trained  2 epochs, 8 steps" in done.stdout
    assert report["iterations"] == 8
    assert report["best"]["epoch"] in (1, 2)
    assert [Path(file).name for file in report["files"]][:2] == ["last_ema.pth", "last_raw.pth"]
    model, meta = load_with_meta(out / "last_ema.pth")
    assert (model.config.classes, meta["weights"]) == (("red", "green", "blue"), "ema")
    rows = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert [row["event"] for row in rows] == ["step", "evaluation", "evaluation"]


@pytest.mark.slow
def test_whatever_it_writes_is_declared(whole):
    """So that no other output of the command takes its place."""
    for path in whole[0].iterdir():
        assert any(path.match(name) for name in OUTPUT_FILES), path


@pytest.mark.slow
def test_its_end_is_a_detector_like_any_other(whole, files, tmp_path):
    out = whole[0]
    back = tmp_path / "x.pdparams"
    for command in (
        ["convert", out / "last_ema.pth", back],
        ["convert", back, tmp_path / "again.pth", "--classes", files / "classes.txt"],
        ["eval", out / "last_ema.pth", "--coco", files / "coco"],
        ["export", out / "last_raw.pth", tmp_path / "x.onnx"],
    ):
        done = CliRunner().invoke(main, list(map(str, command)))
        assert done.exit_code == 0, (command, done.output)


# whoever kills from outside comes too late on a busy machine
KILLED = """
import os, signal
from picodet.cli import main
from picodet.training import checkpoint as states
save = states.save
def save_or_die(folder, *arguments):
    if len(list(folder.glob(states.FILES))) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return save(folder, *arguments)
states.save = save_or_die
main()
"""


@pytest.mark.slow
def test_killed_it_resumes_to_the_same_bits(whole, files, tmp_path):
    out = tmp_path / "out"
    options = arguments(files, out, "--save-steps", 1, "--keep-checkpoints", 9)
    command = [sys.executable, "-m", "picodet", "train", *options]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, "train", *options],
        env=environment,
        check=False,
        capture_output=True,
    )
    assert killed.returncode == -signal.SIGKILL
    assert len(list((out / checkpoints.FOLDER).glob(checkpoints.FILES))) == 3
    done = subprocess.run([*command, "--resume"], env=environment, check=True, capture_output=True)
    assert b"resumed after step" in done.stderr
    # in a process of its own, as threads add up in another order: the bits of one thread
    alone = tmp_path / "alone"
    command = [sys.executable, "-m", "picodet", "train", *arguments(files, alone)]
    subprocess.run(command, env=environment, check=True, capture_output=True)
    assert last_checkpoint(out) == last_checkpoint(alone)
    found, expected = (load_with_meta(f / "last_ema.pth")[0].state_dict() for f in (out, alone))
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


@pytest.mark.slow
def test_two_processes_share_a_step(files, tmp_path):
    options = ["--nnodes", "1", "--nproc_per_node", "2", "--rdzv_backend", "c10d"]
    command = [
        *(sys.executable, "-m", "torch.distributed.run", *options),
        *("--rdzv_endpoint", "localhost:0", "-m", "picodet", "train"),
        *arguments(files, tmp_path / "out", "--batch", 1, "--json", tmp_path / "report.json"),
    ]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("trained  2 epochs, 8 steps") == 1  # one of them tells
    assert "base learning rate 0.01 for 2 images per step, as in the recipe" in done.stderr
    assert json.loads((tmp_path / "report.json").read_text())["iterations"] == 8


@pytest.mark.slow
def test_another_number_of_images_changes_the_rate_and_says_so(files, tmp_path):
    done = CliRunner().invoke(
        train, arguments(files, tmp_path / "out", "--accumulation-steps", 2, "--evaluate-every", 0)
    )
    assert done.exit_code == 0, done.output
    assert "0.01 for 2 images per step scaled to 0.02 for 4 (linear scaling rule)" in done.stderr
    assert "trained  2 epochs, 4 steps" in done.stdout
    assert "best" not in done.stdout
    note = "nothing is evaluated, and no best_ema.pth is written: --evaluate-every 0"
    assert note in done.stderr


def test_a_step_of_more_images_than_there_are(files, tmp_path):
    options = ["--batch", 4, "--accumulation-steps", 3]
    done = CliRunner().invoke(train, arguments(files, tmp_path / "out", *options))
    assert done.exit_code == 1
    message = "8 images to train on, fewer than the 12 of a step; use a smaller --batch or"
    assert message in " ".join(done.stderr.split())


def test_a_training_is_not_written_over(whole, files):
    out = whole[0]
    done = CliRunner().invoke(train, arguments(files, out))
    assert done.exit_code == 1
    assert "already holds a training of 8 steps; continue it with --resume" in done.stderr
    done = CliRunner().invoke(train, arguments(files, out, "--resume", "--seed", 5))
    assert done.exit_code == 1
    assert "other settings than the training began with: seed was 0, is 5" in done.stderr


@pytest.mark.slow
def test_on_a_machine_that_resizes_otherwise_it_goes_on_and_says_so(files, tmp_path, monkeypatch):
    out = tmp_path / "out"
    wishes = ("--resize", "portable", "--evaluate-every", 0)
    first = CliRunner().invoke(train, arguments(files, out, *wishes))
    assert first.exit_code == 0, first.output
    model, _ = load_with_meta(out / "last_ema.pth")
    assert model.config.preprocessing.resize == "portable"
    again = CliRunner().invoke(train, arguments(files, out, "--resume", *wishes))
    assert again.exit_code == 0, again.output
    assert "other kernels" not in again.stderr
    monkeypatch.setattr(build, "fingerprint", lambda *_: {"cubic": "another"})
    moved = CliRunner().invoke(train, arguments(files, out, "--resume", *wishes))
    assert moved.exit_code == 0, moved.output
    note = "resized by other kernels than before (were portable (IPP off), "
    assert note in moved.stderr
    native = CliRunner().invoke(train, arguments(files, out, "--resume", *wishes[2:]))
    assert "preprocessing.resize was 'portable', is 'native'" in native.stderr


def test_missing_arguments_are_reported(files, tmp_path):
    options = ["--images", files / "coco/val2017", "--annotations"]
    boxes = files / "coco/annotations/instances_val2017.json"
    for more, code, text in (
        ([], 2, "give one of --coco DIR, --data PATH, or --images DIR and --annotations FILE"),
        ([*options, boxes], 1, "no category named person"),
        (["--coco", files / "coco"], 1, "no train split"),
        (["--images", files], 2, "annotation file together"),
    ):
        given = [str(files / "recipe.yml"), *map(str, more), "--out", str(tmp_path / "out")]
        done = CliRunner().invoke(train, given)
        assert (done.exit_code, text in done.stderr) == (code, True), done.output
    assert not (tmp_path / "out").exists()


def test_a_recipe_is_shown(tmp_path):
    done = CliRunner().invoke(train, ["--print", "picodet_s_416_coco"])
    assert done.exit_code == 0
    assert "OptimizerBuilder.regularizer.factor" in done.stdout
    done = CliRunner().invoke(train, ["--print", "picodet_s_461_coco"])
    assert done.exit_code == 1
    assert "Did you mean" in done.stderr
    assert CliRunner().invoke(train, []).exit_code == 2


def resume(files, out, *more):
    return CliRunner().invoke(train, arguments(files, out, "--resume", "--save-steps", 4, *more))


def refusal(done):
    assert done.exit_code == 1, done.output
    return " ".join(done.stderr.split())


@pytest.mark.slow
def test_it_goes_on_with_a_copy_of_its_dataset(files, tmp_path):
    """Of other times, and in another folder."""
    out = tmp_path / "out"
    options = arguments(files, out, "--evaluate-every", 0)
    assert CliRunner().invoke(train, options).exit_code == 0
    shutil.copytree(files, tmp_path / "copy", copy_function=shutil.copyfile)
    again = arguments(tmp_path / "copy", out, "--evaluate-every", 0, "--resume")
    done = CliRunner().invoke(train, again)
    assert done.exit_code == 0, done.output
    assert "resumed after step" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(("image", "what"), [(0, "train on"), (EMPTY_IMAGE, "evaluate on")])
def test_it_does_not_go_on_with_another_image(files, tmp_path, image, what):
    """The second is one without a box, which is only evaluated on."""
    out = tmp_path / "out"
    assert CliRunner().invoke(train, arguments(files, out)).exit_code == 0
    shutil.copytree(files, tmp_path / "copy")
    changed = tmp_path / "copy" / "coco/val2017" / f"{image}.png"
    pixels = cv2.imread(str(changed))
    assert cv2.imwrite(str(changed), 255 - pixels)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    text = refusal(resume(tmp_path / "copy", out))
    assert f"{image}.png: changed since the training of " in text
    assert f"images to {what}. Restore the original images" in text
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    (out / "images.json").unlink()
    assert f"images to {what} differ from those it began with" in refusal(
        resume(tmp_path / "copy", out)
    )


def test_it_does_not_go_on_with_other_boxes_to_evaluate_on(whole, files, tmp_path):
    boxes = json.loads((files / "coco/annotations/instances_val2017.json").read_text())
    boxes["annotations"].pop()
    (tmp_path / "other.json").write_text(json.dumps(boxes))
    done = resume(files, whole[0], "--val-annotations", tmp_path / "other.json")
    assert "other settings than the training began with: val_annotations was " in refusal(done)


def test_two_trainings_in_one_folder(whole, files, tmp_path):
    shutil.copytree(whole[0], tmp_path / "out")
    lock = locks.acquire(tmp_path / "out" / "training")
    text = refusal(resume(files, tmp_path / "out"))
    assert f"out: process {os.getpid()} on " in text
    assert "is training into this folder now" in text
    lock.release()
    assert resume(files, tmp_path / "out").exit_code == 0
    assert not list((tmp_path / "out").glob("*.lock"))
    locks.acquire(tmp_path / "new" / "training").release()  # no folder yet
    (tmp_path / "new").mkdir()
    lock = locks.acquire(tmp_path / "new" / "training")
    done = CliRunner().invoke(train, arguments(files, tmp_path / "new"))
    assert "is training into this folder" in refusal(done)
    lock.release()


def test_there_is_nothing_to_resume(whole, files, tmp_path):
    shutil.copytree(whole[0], tmp_path / "runs")
    text = refusal(resume(files, tmp_path / "rums"))
    assert "rums: nothing to resume: found no checkpoint in " in text
    assert "there are trainings in runs. Correct --out, or leave out --resume to begin" in text
    assert not (tmp_path / "rums").exists()


@pytest.mark.slow
def test_the_checkpoint_alone_suffices_and_what_changed_is_said(whole, files, tmp_path):
    """Initial weights, recipe and dataset have gone or moved; other settings are given."""
    shutil.copy(whole[0] / "last_ema.pth", tmp_path / "initial.pth")
    weights = ["--pretrained", tmp_path / "initial.pth"]
    out = tmp_path / "out"
    first = CliRunner().invoke(train, arguments(files, out, *weights, "--evaluate-every", 2))
    assert first.exit_code == 0, first.output
    (tmp_path / "initial.pth").unlink()
    shutil.copytree(files, tmp_path / "copy", copy_function=shutil.copyfile)
    recipe = tmp_path / "copy/recipe.yml"
    recipe.write_text(RECIPE.replace("epochs: 2", "epochs: 3", 1))
    more = ["--resume", *weights, "--lr", 0.004, "--evaluate-every", 1]
    done = CliRunner().invoke(train, arguments(tmp_path / "copy", out, *more))
    assert done.exit_code == 0, done.output
    for text in (
        "base learning rate 0.004, as given by --lr",
        "recipe.schedule.base_lr was 0.01, is 0.004; recipe.schedule.epochs was 2, is 3; ",
        "evaluate_every was 2, is 1; ",
        f"paths.images was '{files}/coco/val2017', is '{tmp_path}/copy/coco/val2017'; ",
        "trained  3 epochs, 12 steps",
    ):
        assert text in done.output
    assert "bit for bit" not in done.stderr


@pytest.mark.slow
def test_it_goes_on_with_two_processes(whole, files, tmp_path):
    shutil.copytree(whole[0], tmp_path / "out")
    (tmp_path / "recipe.yml").write_text(RECIPE.replace("epochs: 2", "epochs: 3", 1))
    options = ["--nnodes", "1", "--nproc_per_node", "2", "--rdzv_backend", "c10d"]
    command = [
        *(sys.executable, "-m", "torch.distributed.run", *options),
        *("--rdzv_endpoint", "localhost:0", "-m", "picodet", "train", str(tmp_path / "recipe.yml")),
        *arguments(files, tmp_path / "out", "--resume", "--evaluate-every", 0)[1:],
    ]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    # four images a step: two steps of an epoch instead of four
    assert "trained  3 epochs, 10 steps" in done.stdout
    assert "0.01 for 2 images per step scaled to 0.02 for 4 (linear scaling rule)" in done.stderr
    assert "processes was 1, is 2" in done.stderr
    assert "processes changed, and batches are made up otherwise" in done.stderr


@pytest.mark.slow
def test_without_images_to_evaluate_on_it_trains_and_says_so(files, tmp_path):
    """A folder of COCO's layout that has a train split alone."""
    coco, boxes = tmp_path / "coco", files / "coco/annotations/instances_val2017.json"
    shutil.copytree(files / "coco/val2017", coco / "train2017")
    (coco / "annotations").mkdir()
    shutil.copy(boxes, coco / "annotations/instances_train2017.json")
    out = tmp_path / "out"
    data = [files / "recipe.yml", "--coco", coco, "--classes", files / "classes.txt"]
    words = list(map(str, [*data, "--workers", 0, "--out", out]))
    done = CliRunner().invoke(train, [*words, "--patience", "3"])
    assert "--patience 3: nothing is evaluated; expected images to evaluate on" in refusal(done)
    assert not out.exists()
    done = CliRunner().invoke(train, words)
    assert done.exit_code == 0, done.output
    assert "nothing is evaluated, and no best_ema.pth is written: there are no " in done.stderr
    assert "give --val-images and --val-annotations" in done.stderr
    assert not list(out.glob("best*"))
    # it is evaluated from now on, and on the same images ever after
    (tmp_path / "recipe.yml").write_text(RECIPE.replace("epochs: 2", "epochs: 3", 1))
    words[0] = str(tmp_path / "recipe.yml")
    val = ["--val-images", str(files / "coco/val2017"), "--val-annotations", str(boxes)]
    done = CliRunner().invoke(train, [*words, *val, "--resume"])
    assert (done.exit_code, list(out.glob("best*")) != []) == (0, True), done.output
    assert f"paths.val_annotations was None, is '{boxes}'" in done.stderr
    assert CliRunner().invoke(train, [*words, "--resume"]).exit_code == 0
    other = json.loads(boxes.read_text())
    other["annotations"].pop()
    (tmp_path / "other.json").write_text(json.dumps(other))
    val[-1] = str(tmp_path / "other.json")
    done = CliRunner().invoke(train, [*words, *val, "--resume"])
    assert "other settings than the training began with: val_annotations was" in refusal(done)


@pytest.mark.slow
def test_after_nan_the_command_that_it_says_goes_on(files, tmp_path, monkeypatch):
    take = Stepper.__call__

    def spoiled(self, batches, criterion, iteration, lr, stop=False):
        if iteration == 2 and lr > 0.006:
            batches[0].images.fill_(float("nan"))
        return take(self, batches, criterion, iteration, lr, stop)

    monkeypatch.setattr(Stepper, "__call__", spoiled)
    out = tmp_path / "a folder"
    words = arguments(files, out, "--lr", 0.01, "--amp", "--evaluate-every", 0)
    first = CliRunner().invoke(main, ["train", *words])
    advice, _, command = refusal(first).partition(" Type: ")
    assert "the same command with --lr 0.005 begins anew, as no checkpoint was saved" in advice
    assert shlex.split(command)[2:] == [
        *(words[0], *words[1:9], *words[9:11], *("--out", str(out)), *("--amp",)),
        *("--workers", "0", "--evaluate-every", "0", "--lr", "0.005"),
    ]
    first = CliRunner().invoke(main, ["train", *words, "--save-steps", "1"])
    advice, _, command = refusal(first).partition(" Type: ")
    assert "with --resume --lr 0.005 continues from the checkpoint of iteration 2." in advice
    done = CliRunner().invoke(main, shlex.split(command)[1:])
    assert done.exit_code == 0, done.output
    assert "recipe.schedule.base_lr was 0.01, is 0.005" in done.stderr
    assert "resumed after step 2 of epoch 1" in done.stderr
    assert "trained  2 epochs, 8 steps" in done.stdout
