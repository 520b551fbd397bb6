"""Several processes share an evaluation; here they are threads."""

import pytest
from evaluating import detect, detect_by, interrupting, same

from picodet.errors import EvaluationError
from picodet.evaluation import evaluator
from picodet.evaluation.evaluator import InterruptedRunError


@pytest.mark.parametrize("size", [2, 3, 7, 12])
def test_every_picture_counts_once_whatever_the_processes(ask, usual, size):
    """More of them than pictures, too; all know the whole outcome."""
    for found in detect_by(size, ask(batch=1)):
        assert same(found, usual)
        assert found.annotations.pictures == usual.annotations.pictures


def test_groups_are_the_same_whatever_the_processes(ask):
    alone = detect(ask(batch=4, interps=(1, 2)))
    for found in detect_by(2, ask(batch=4, interps=(1, 2))):
        assert same(found, alone)


def test_a_bad_picture_of_one_process_is_left_out_by_all(ask, own):
    (own / "val2017" / "7.png").unlink()
    alone = detect(ask(dataset=own, skip_bad=True))
    for found in detect_by(3, ask(dataset=own, skip_bad=True)):
        assert same(found, alone)
        assert found.notes == alone.notes
        assert found.annotations.pictures == alone.annotations.pictures


def test_an_interrupted_run_of_several_goes_on(ask, usual):
    """Each leaves its part; any number of processes goes on with them."""
    asked = ask()
    outcomes = detect_by(3, asked, lambda rank: interrupting(4))
    assert all(isinstance(outcome, InterruptedRunError) for outcome in outcomes)
    path = asked.progress_file
    parts = sorted(file.name for file in path.parent.glob("*.npz*"))
    assert parts == [path.name, f"{path.name}.rank1", f"{path.name}.rank2"]
    for size in (1, 2, 4):
        for found in detect_by(size, ask(resume=path)):
            assert same(found, usual)


def test_also_where_the_first_of_them_has_done_nothing(ask, usual):
    asked = ask()
    outcomes = detect_by(2, asked, lambda rank: interrupting(2))
    assert all(isinstance(outcome, InterruptedRunError) for outcome in outcomes)
    asked.progress_file.unlink()
    assert same(detect(ask(resume=asked.progress_file)), usual)


def test_pictures_that_nobody_was_given_are_noticed(ask, monkeypatch):
    monkeypatch.setattr(evaluator, "shard", lambda ranks, work: work[:-1])
    with pytest.raises(EvaluationError, match="1 pictures were given to no process"):
        detect(ask())
