import json

import pytest

from picodet.errors import OutputError
from picodet.training import logger as logger_module
from picodet.training.logger import TrainLogger


def rows(folder):
    return [json.loads(line) for line in (folder / logger_module.FILE).read_text().splitlines()]


@pytest.fixture
def no_tensorboard(monkeypatch):
    monkeypatch.setattr(
        logger_module, "_summary_writer", lambda folder, start_iteration: (None, None)
    )


@pytest.mark.usefixtures("no_tensorboard")
def test_a_line_for_each_event(tmp_path):
    logger = TrainLogger(tmp_path, 0)
    logger.write("step", 20, {"total": 2.5})
    logger.write("evaluation", 20, {"AP": 0.25})
    assert rows(tmp_path) == [
        {"event": "step", "iteration": 20, "total": 2.5},
        {"event": "evaluation", "iteration": 20, "AP": 0.25},
    ]


@pytest.mark.usefixtures("no_tensorboard")
def test_what_is_repeated_is_logged_once(tmp_path):
    logger = TrainLogger(tmp_path, 0)
    for iteration in (20, 40, 60):
        logger.write("step", iteration, {})
    with logger.path.open("ab") as file:
        file.write(b'{"event": "step", "iteration": 30, "\xff": 1}\n')  # no UTF-8
        file.write(b'{"event": "st\xc3')  # killed while it wrote
    logger = TrainLogger(tmp_path, 40)
    logger.write("step", 60, {"again": 1})
    assert [row["iteration"] for row in rows(tmp_path)] == [20, 40, 60]
    assert rows(tmp_path)[-1]["again"] == 1


@pytest.mark.usefixtures("no_tensorboard")
def test_a_line_that_cannot_be_written_is_an_error(tmp_path):
    logger = TrainLogger(tmp_path, 0)
    logger.path.mkdir()
    with pytest.raises(OutputError, match=r"log\.jsonl: cannot be written"):
        logger.write("step", 20, {})


def test_tensorboard_gets_the_numbers(tmp_path):
    pytest.importorskip("tensorboard", reason="pip install tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logger = TrainLogger(tmp_path, 0)
    logger.write("step", 20, {"total": 2.5, "name": "x"})
    logger.close()
    found = EventAccumulator(str(tmp_path / logger_module.TENSORBOARD)).Reload()
    assert found.Tags()["scalars"] == ["step/total"]
    (event,) = found.Scalars("step/total")
    assert (event.step, event.value) == (20, 2.5)


def test_without_tensorboard_it_says_how_to_have_it(tmp_path, monkeypatch):
    import builtins

    real = builtins.__import__

    def importing(name, *rest, **options):
        if name == "torch.utils.tensorboard":
            raise ImportError(name)
        return real(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", importing)
    logger = TrainLogger(tmp_path, 0)
    assert logger.note == "TensorBoard's files are not written: pip install tensorboard"
    logger.write("step", 1, {"total": 1.0})
    assert len(rows(tmp_path)) == 1
