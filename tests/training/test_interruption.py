import os
import subprocess
import sys
from pathlib import Path

import pytest

from picodet.training.checkpoint import Progress
from picodet.training.trainer import (
    InterruptedTrainingError,
    Interruption,
    StoppedAtOnceError,
)

SCRIPT = """
import signal
from picodet.system.termination import exit_code
from picodet.training.trainer import Interruption

before = signal.getsignal(signal.SIGTERM)
with Interruption() as interruption:
    assert not interruption.requested
    signal.raise_signal(signal.SIGTERM)
    assert interruption.requested
    signal.raise_signal(signal.SIGTERM)  # torchrun's, and that of whoever started it
    assert exit_code(interruption.cause) == 143
    try:
        signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt:
        print("an impatient one")
    signal.raise_signal(signal.SIGINT)  # the keys are held down
assert signal.getsignal(signal.SIGTERM) == before
signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a script does for what it starts with &
with Interruption() as interruption:
    signal.raise_signal(signal.SIGINT)
    assert not interruption.requested
assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
"""


@pytest.mark.slow
def test_a_signal_is_noted_and_a_second_one_is_as_ever():
    """In a process of its own: a test that fails here would otherwise end them all."""
    root = Path(__file__).parents[2]
    environment = os.environ | {"PYTHONPATH": str(root)}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environment, check=False, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, "an impatient one\n"), done.stderr


def test_outside_of_it_nothing_is_noted():
    assert not Interruption().requested


def test_the_error_tells_how_to_go_on():
    error = InterruptedTrainingError(Path("out"), Progress(epoch=2, step=5))
    assert str(error).startswith("interrupted after step 5 of epoch 3; a checkpoint is in out: ")
    assert "--resume" in str(error)


HELD_DOWN = """
import signal, sys
from pathlib import Path
from small_training import training
from picodet.formats import safetensors_writer
from picodet.system.termination import exit_code
from picodet.training.trainer import StoppedAtOnceError

write, unlink = safetensors_writer.write, Path.unlink
def impatient(file, tensors, metadata):
    if '"iteration": 4' in str(metadata):
        file.write(b"half of it")
        file.flush()
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
    write(file, tensors, metadata)
def held_down(self, missing_ok=False):
    signal.raise_signal(signal.SIGINT)
    unlink(self, missing_ok)
safetensors_writer.write = impatient
try:
    training(Path(sys.argv[1]), keep_checkpoints=9, show=lambda log: log.progress.iteration == 3
        and setattr(Path, "unlink", held_down)).run()
except StoppedAtOnceError as error:
    print(exit_code(error.__cause__), error)
"""


@pytest.mark.slow
def test_a_second_ctrl_c_saves_nothing_and_leaves_nothing_half(tmp_path):
    helpers = Path(__file__).parents[1] / "helpers"
    paths = os.pathsep.join(map(str, (helpers.parents[1], helpers)))
    done = subprocess.run(
        [sys.executable, "-c", HELD_DOWN, str(tmp_path)],
        env=os.environ | {"PYTHONPATH": paths},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("130 interrupted twice, and nothing was saved; the newest check")
    assert "is of iteration 3: the same command with --resume continues from it" in done.stdout
    assert not list(tmp_path.rglob("*.tmp"))
    saved = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert saved == ["000000002.safetensors", "000000003.safetensors"]


def test_where_nothing_was_saved_it_says_so():
    text = str(StoppedAtOnceError(Path("out"), None))
    assert text.endswith("there is no checkpoint in out: the same command begins anew")
