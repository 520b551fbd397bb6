"""`kill` ends every command in order; Ctrl-C stays ignored where a script ignores it.

A gate replaces one function of the command: it reports that it is reached and waits.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from eval_runs import prepare
from gated_image import PATIENCE
from tracing import SMALL, filled_model, seeded_checkpoint

from picodet.cli import main
from picodet.formats.meta import make_meta
from picodet.models import checkpoint
from picodet.system.termination import Terminated, exit_code
from scripts.fixtures import seeded
from tests.inference.test_images import CAT

ROOT = Path(__file__).parents[2]
GATE = """
import sys
from importlib import import_module
times, module, *rest = sys.argv[1:]
*parents, name = rest.pop(0).split(".")
owner = import_module(module)
for parent in parents:
    owner = getattr(owner, parent)
real, left = getattr(owner, name), [int(times)]

def gate(*arguments, **named):
    left[0] -= 1
    if not left[0]:
        print("here", flush=True)
        sys.stdin.buffer.read()
    return real(*arguments, **named)

setattr(owner, name, gate)
from picodet.cli import main
main(rest, prog_name="picodet")
"""
RECIPE = """
recipe: picodet_s_320_coco
epochs: 2
batches: {per_gpu: 2, gpus: 1}
input_size: 64
augmentation: {sizes: [64]}
schedule: {warmup_steps: 2}
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Files that the commands need."""
    folder = prepare(tmp_path_factory.mktemp("files"))
    model = filled_model(SMALL, seeded_checkpoint(SMALL))
    weights = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    checkpoint.save(folder / "m.pth", weights, make_meta(SMALL, "detector", "x", "ab" * 32))
    seeded.write(seeded_checkpoint(SMALL), folder / "picodet_s_128.pdparams")
    words = ["export", folder / "m.pth", folder / "m.onnx", "--no-verify"]
    assert CliRunner().invoke(main, list(map(str, words))).exit_code == 0
    (folder / "recipe.yml").write_text(RECIPE)
    (folder / "classes.txt").write_text("red\ngreen\nblue\n")
    return folder


def ignoring_ctrl_c():
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def started(folder, *words, code=GATE):
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, words)],
        cwd=folder,
        env=environment,
        preexec_fn=ignoring_ctrl_c,  # noqa: PLW1509 (this test has one thread)
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process, number=signal.SIGTERM):
    """Exit code and standard error of a command that is killed at its gate."""
    with process:
        assert process.stdout.readline() == "here\n", process.stderr.read()
        process.send_signal(number)
        _, error = process.communicate(timeout=PATIENCE)
    assert "Traceback" not in error
    return process.returncode, error


DATA = ["--images", "coco/val2017", "--annotations", "coco/annotations/instances_val2017.json"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("gate", "words"),
    [
        ("1 picodet.models.checkpoint torch.save", "convert picodet_s_128.pdparams {new}/x.pth"),
        ("1 picodet.inference.images draw", f"detect m.pth {CAT} --out {{new}}/d"),
        ("1 picodet.exporter.export verify", "export m.pth {new}/x.onnx"),
        (
            "1 picodet.alignment.recording.writer shutil.copyfileobj",
            "align record m.onnx {new}/x.safetensors --input-size 128",
        ),
        ("1 picodet.alignment.session is_recording", "align m.pth m.pth --html {new}/x"),
        (
            "1 picodet.evaluation.inference_loop BatchDetector.__call__",
            "eval x.onnx --coco coco --out {new}/x.json",
        ),
        ("1 picodet.commands.model_tables print_models", "list"),
    ],
)
def test_it_ends_and_leaves_nothing_half(files, tmp_path, gate, words):
    (tmp_path / "d").mkdir()
    process = started(files, *gate.split(), *words.replace("{new}", str(tmp_path)).split())
    code, error = ended(process)
    assert (code, error) == (143, error)
    assert "interrupted" in error
    assert [path.name for path in tmp_path.rglob("*")] == ["d"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "expected"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, None)]
)
def test_an_evaluation_saves_what_it_has(files, tmp_path, number, expected):
    """Ten images were checked, three are done. The script ignores Ctrl-C."""
    out = tmp_path / "x.json"
    words = ["eval", "x.onnx", "--coco", "coco", "--out", out, "--threads", 1]
    process = started(files, 13, "picodet.distributed", "SingleProcess.check", *words)
    code, error = ended(process, number)
    if expected is None:
        assert (code, out.is_file()) == (0, True)
        return
    assert code == expected
    assert "--resume" in error
    assert (tmp_path / "x.partial.npz").is_file()
    assert not out.exists()


@pytest.mark.slow
def test_a_training_saves_what_it_has(files, tmp_path):
    words = ["train", "recipe.yml", *DATA, "--classes", "classes.txt", "--workers", 0]
    gate = ("2", "picodet.training.step", "Stepper.__call__")
    code, error = ended(started(files, *gate, *words, "--out", tmp_path / "out"))
    assert code == 143
    assert "interrupted after step 3 of epoch 1" in " ".join(error.split())  # the next one
    (state,) = (tmp_path / "out" / "checkpoints").iterdir()
    assert state.name == "000000003.safetensors"


@pytest.mark.slow
def test_before_its_first_step_too(files, tmp_path):
    words = ["train", "recipe.yml", *DATA, "--classes", "classes.txt", "--workers", 0]
    gate = ("1", "picodet.training.build", "init_model")
    code, error = ended(started(files, *gate, *words, "--out", tmp_path / "out"))
    assert (code, error) == (143, "Error: interrupted\n")
    assert not (tmp_path / "out").exists()


def wait_for(condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_running(process_id):
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.slow
@pytest.mark.parametrize("command", ["record {p} {new}/x.safetensors", "{p} m.pth --html {new}/x"])
def test_paddles_process_ends_too(files, tmp_path, command):
    python, pid_file = tmp_path / "python", tmp_path / "pid"
    python.write_text(
        f"#!/bin/sh\necho $$ > {pid_file}.new; mv {pid_file}.new {pid_file}; exec sleep 600\n"
    )
    python.chmod(0o755)
    new = tmp_path / "new"
    new.mkdir()
    words = command.format(p="picodet_s_128.pdparams", new=new).split()
    process = started(
        files,
        *("align", *words, "--paddle-python", python),
        code="from picodet.cli import main; main(prog_name='picodet')",
    )
    with process:
        wait_for(pid_file.is_file)
        process.send_signal(signal.SIGTERM)
        _, error = process.communicate(timeout=PATIENCE)
    assert (process.returncode, error) == (143, "Error: interrupted\n")
    wait_for(lambda: not is_running(int(pid_file.read_text())))
    assert not list(new.iterdir())


def test_what_paddles_process_writes_is_whole_or_nothing(tmp_path):
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from picodet.paddle_process.worker import run_work\nfrom "
        "picodet.files import atomic_write\n"
        "def work(progress):\n"
        "    with atomic_write(Path('out')) as temporary:\n"
        "        temporary.touch(); progress(1, 2); sys.stdin.read()\n"
        "run_work(work)"
    )
    process = started(tmp_path, code=code)
    with process:
        assert json.loads(process.stdout.readline())["header"] == {"done": 1, "total": 2}
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE)
    assert process.returncode
    assert not list(tmp_path.iterdir())


def test_who_asks_twice_does_not_disturb_the_saving(tmp_path):
    """torchrun and its parent both send one: the second comes while the first is handled."""
    code = (
        "import signal\nfrom picodet.system.termination import termination_as_interrupt\n"
        "try:\n"
        "    with termination_as_interrupt():\n"
        "        try:\n            signal.raise_signal(signal.SIGTERM)\n"
        "        finally:\n            signal.raise_signal(signal.SIGTERM); print('saved')\n"
        "except KeyboardInterrupt as end: print(end)"
    )
    process = started(tmp_path, code=code)
    assert process.communicate(timeout=PATIENCE) == ("saved\nSIGTERM\n", "")


def test_the_exit_code_is_a_shells():
    assert exit_code(KeyboardInterrupt()) == 130
    assert exit_code(Terminated(signal.SIGTERM)) == 143
