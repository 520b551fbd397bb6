import signal
from pathlib import Path

from picodet.training.interruption import InterruptedTrainingError, Interruption
from picodet.training.state import Position


def test_a_signal_is_noted_and_a_second_one_is_as_ever():
    before = signal.getsignal(signal.SIGTERM)
    with Interruption() as interruption:
        assert not interruption.wanted
        signal.raise_signal(signal.SIGTERM)
        assert interruption.wanted
        assert signal.getsignal(signal.SIGINT) == signal.SIG_DFL
    assert signal.getsignal(signal.SIGTERM) == before


def test_the_error_tells_how_to_go_on():
    error = InterruptedTrainingError(Path("out"), Position(epoch=2, step=5))
    assert str(error).startswith("interrupted after step 5 of epoch 3; everything is in out, ")
    assert "--resume" in str(error)
