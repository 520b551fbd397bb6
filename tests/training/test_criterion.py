"""The losses that a recipe selects, compared with ppdet's recorded first step."""

import json

import numpy as np
import pytest
import torch
from head_outputs import INTEGRAL, TARGETS, head_output, head_v2_output
from tracing import filled_model

from picodet.formats import pdparams
from picodet.training.criterion import assign_aligned, assign_simota, criterion
from picodet.training.data.batch import Targets
from picodet.training.positives import anchor_points_of, flatten_levels
from picodet.training.recipes.schema import LossWeights, SimOTA, TaskAligned
from picodet.zoo.official import CONFIGS

OF_2021 = LossWeights(vfl=1.0, giou=2.0, dfl=0.25)
OF_2022 = LossWeights(vfl=1.0, giou=2.5, dfl=0.5)
FEW = TaskAligned(static_epochs=3, static_candidates=1)
TERMS = ("loss_vfl", "loss_bbox", "loss_dfl")  # ppdet's names


def chosen(assignment, world_size=1, epoch=0, normalizer=lambda own: own):
    weights = OF_2021 if isinstance(assignment, SimOTA) else OF_2022
    return criterion(assignment, weights, INTEGRAL, normalizer, world_size, epoch)


def test_the_head_of_2021_has_simota_in_every_epoch():
    output = head_output()
    first, later = (chosen(SimOTA(), epoch=n)(output, TARGETS) for n in (0, 200))
    assert first == later


def test_the_static_assigner_is_for_the_first_epochs():
    output = head_v2_output()
    totals = [chosen(FEW, epoch=n)(output, TARGETS).total.item() for n in (0, 2, 3, 300)]
    assert totals[0] == totals[1] != totals[2] == totals[3]


def test_several_processes_divide_by_1_at_least_and_one_does_not():
    output = head_v2_output()
    alone, two = (
        chosen(FEW, ranks, 9, lambda own: own * 0 + 0.25)(output, TARGETS) for ranks in (1, 2)
    )
    assert alone.total.item() == pytest.approx(4 * two.total.item(), rel=1e-12)
    three = chosen(FEW, 2, 9, lambda own: own * 0 + 3.0)(output, TARGETS)
    assert three.total.item() == pytest.approx(two.total.item() / 3, rel=1e-12)


def recorded_targets(recorded, empty=False):
    boxes = [recorded["gt_bbox0"], recorded["gt_bbox1"]]
    classes = [recorded["gt_class0"], recorded["gt_class1"]]
    counts = [len(boxes[0]), 0 if empty else len(boxes[1])]
    targets = Targets(torch.zeros(2, 5, 4), torch.zeros(2, 5).long(), torch.zeros(2, 5).bool())
    for i, n in enumerate(counts):
        targets.boxes[i, :n] = torch.tensor(boxes[i][:n])
        targets.classes[i, :n] = torch.tensor(classes[i][:n, 0])
        targets.valid[i, :n] = True
    return targets


CASES = [
    ("picodet_s_416_coco", "train", SimOTA(), 0),
    ("picodet_m_416_coco", "train", SimOTA(), 0),
    ("picodet_xs_320_coco_lcnet", "train_atss", TaskAligned(), 0),
    ("picodet_xs_320_coco_lcnet", "train_tal", TaskAligned(), 100),
]


def first_step(shared, name, tag, assignment, epoch, empty=False):
    """Losses and the assignment, in float64: the recording's own noise is all that is left."""
    folder = shared / "reference" / name
    model = filled_model(CONFIGS[name], pdparams.read(folder / f"{name}.pdparams")).double().train()
    recorded = np.load(folder / f"{tag}.npz")
    targets = recorded_targets(recorded, empty)
    integral = model.head.integral
    weights = OF_2021 if isinstance(assignment, SimOTA) else OF_2022
    with torch.no_grad():
        output = model(torch.tensor(recorded["input"]).double())
        losses = criterion(assignment, weights, integral, lambda own: own, 1, epoch)
        found = losses(output, targets)
        anchors, sides = anchor_points_of(output), flatten_levels(output.reg)
        if isinstance(assignment, SimOTA):
            scores = flatten_levels(output.logits)
            assigned = assign_simota(scores, sides, anchors, targets, assignment, integral)
        else:
            scores, static = flatten_levels(output.scores()), epoch < assignment.static_epochs
            assigned = assign_aligned(scores, sides, anchors, targets, assignment, integral, static)
    return found, assigned, recorded, targets


@pytest.mark.slow
@pytest.mark.parametrize(("name", "tag", "assignment", "epoch"), CASES)
def test_a_step_is_ppdets(shared, name, tag, assignment, epoch):
    """Anchor points and boxes as sets; loss terms within 1e-5, where the recording rounds by 9e-6.

    In float64 live ppdet has the same assignments, and losses that are 5e-14 off.
    """
    found, assigned, recorded, targets = first_step(shared, name, tag, assignment, epoch)
    for i in range(2):
        positive = assigned.box[i] >= 0
        boxes = assigned.box[i][positive]
        assert positive.nonzero()[:, 0].tolist() == recorded[f"as{i}_pos"].tolist()
        assert np.array_equal(targets.boxes[i][boxes].numpy(), recorded[f"as{i}_bbox"])
        assert targets.classes[i][boxes].tolist() == recorded[f"as{i}_label"].tolist()
    log = json.loads((shared / "reference" / name / f"{tag}_loss.json").read_text())["log"][0]
    assert [term.item() for term in found] == pytest.approx([log[t] for t in TERMS], rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["picodet_s_416_coco", "picodet_m_416_coco"])
def test_a_image_without_boxes_is_ppdets(shared, name):
    found, *_ = first_step(shared, name, "train", SimOTA(), 0, empty=True)
    summary = json.loads((shared / "reference" / name / "train_summary.json").read_text())
    log = summary["train_one_empty_image"]
    assert [term.item() for term in found] == pytest.approx([log[t] for t in TERMS], rel=1e-5)
