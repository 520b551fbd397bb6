import os
import subprocess
import sys
from pathlib import Path

import pytest

from picodet.training.checkpoint import Progress
from picodet.training.trainer import InterruptedTrainingError, Interruption

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
