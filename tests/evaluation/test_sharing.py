"""Several processes share an evaluation; here they are threads."""

import pytest
from evaluating import detect, detect_with_threads, interrupt_after, same_output

from picodet.errors import EvaluationError
from picodet.evaluation import evaluator
from picodet.evaluation.evaluator import InterruptedRunError


@pytest.mark.parametrize("size", [2, 3, 7, 12])
def test_every_image_counts_once_whatever_the_processes(make_request, baseline, size):
    """More of them than images, too; all know the whole outcome."""
    for found in detect_with_threads(size, make_request(batch=1)):
        assert same_output(found, baseline)
        assert found.annotations.images == baseline.annotations.images


def test_batches_do_not_depend_on_the_processes(make_request):
    alone = detect(make_request(batch=4, interps=(1, 2)))
    for found in detect_with_threads(2, make_request(batch=4, interps=(1, 2))):
        assert same_output(found, alone)


def test_a_bad_image_of_one_process_is_left_out_by_all(make_request, own_dataset):
    (own_dataset / "val2017" / "7.png").unlink()
    alone = detect(make_request(dataset=own_dataset, skip_corrupt=True))
    for found in detect_with_threads(3, make_request(dataset=own_dataset, skip_corrupt=True)):
        assert same_output(found, alone)
        assert found.notes == alone.notes
        assert found.annotations.images == alone.annotations.images


def test_an_interrupted_run_of_several_goes_on(make_request, baseline):
    """Each leaves its part; any number of processes goes on with them."""
    request = make_request()
    outcomes = detect_with_threads(3, request, lambda rank: interrupt_after(4))
    assert all(isinstance(outcome, InterruptedRunError) for outcome in outcomes)
    path = request.progress_path
    parts = sorted(file.name for file in path.parent.glob("*.npz*"))
    assert parts == [path.name, f"{path.name}.rank1", f"{path.name}.rank2"]
    for size in (1, 2, 4):
        for found in detect_with_threads(size, make_request(resume=path)):
            assert same_output(found, baseline)


def test_a_resumed_run_whose_first_process_has_no_progress(make_request, baseline):
    request = make_request()
    outcomes = detect_with_threads(2, request, lambda rank: interrupt_after(2))
    assert all(isinstance(outcome, InterruptedRunError) for outcome in outcomes)
    request.progress_path.unlink()
    assert same_output(detect(make_request(resume=request.progress_path)), baseline)


def test_images_processed_by_no_process_are_an_error(make_request, monkeypatch):
    monkeypatch.setattr(evaluator, "shard", lambda ranks, work: work[:-1])
    with pytest.raises(EvaluationError, match="1 images were processed by no process"):
        detect(make_request())
