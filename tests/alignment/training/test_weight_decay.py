import numpy as np
import pytest
import torch

from picodet.alignment.training.batch import GroundTruth
from picodet.alignment.training.recording import TrainingRun, tensor_digest
from picodet.alignment.training.weight_decay import weight_decay_errors
from picodet.converter.names.name_tables import name_table
from picodet.zoo.architectures import S

NAMES = tuple(f"neck.conv_t.convs.{level}.bn.weight" for level in range(3))  # ppdet's and ours
LR, MOMENTUM = 0.1, 0.9
TABLE = name_table(S.backbone, S.neck, S.head)


def errors_found(theirs, ours, steps=3, names=NAMES):
    """Parameters that began as 1, 2 .. 6, after the steps."""
    initial = torch.arange(1.0, 7.0, dtype=torch.float64)
    boxes = GroundTruth(np.zeros((1, 1, 4)), np.zeros((1, 1)), np.zeros((1, 1), bool))
    parameters = {name: tensor_digest(theirs(initial).numpy(), np.arange(6)) for name in names}
    run = TrainingRun("x", 0, LR, boxes, ({},) * steps, parameters=parameters)
    first, last = dict.fromkeys(names, initial), dict.fromkeys(names, ours(initial))
    return weight_decay_errors(run, first, last, TABLE, MOMENTUM)


def all_of(decay):
    return dict.fromkeys(NAMES, pytest.approx(decay))


def test_by_hand():
    """Steps of 1, 1.9 and 2.71 times the rate have taken 0.561 of the decay's share."""
    assert errors_found(lambda x: x * (1 - 0.561 * 4e-5), lambda x: x) == all_of(-4e-5)
    assert errors_found(lambda x: x, lambda x: x * (1 - 0.561 * 4e-5)) == all_of(4e-5)
    assert errors_found(lambda x: x, lambda x: x * (1 - 0.1 * 1e-3), steps=1) == all_of(1e-3)


def test_what_a_decay_does_not_explain_is_not_reported_as_one():
    other = torch.tensor([1.0, -1, 1, -1, 1, -1], dtype=torch.float64) * 1e-4
    assert errors_found(lambda x: x + other, lambda x: x) == {}
    assert errors_found(lambda x: x, lambda x: x) == {}


def test_two_that_agree_are_too_few():
    assert errors_found(lambda x: x * (1 - 0.561 * 4e-5), lambda x: x, names=NAMES[:2]) == {}
