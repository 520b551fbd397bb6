"""Everything is accounted for, both ways, on a checkpoint of seeded numbers."""

from collections import Counter

import numpy as np
import pytest
from tracing import SMALL, seeded_checkpoint

from picodet.config import feature_map_sizes
from picodet.converter.match_tensors import Problem, match_tensors
from picodet.converter.names.name_tables import name_table
from picodet.converter.names.rules import NameTable, Rule
from picodet.converter.names.unmatched_tensors import MMDET_ONLY
from picodet.models.picodet import PicoDet
from picodet.ops.anchor_points import make_anchor_points

EXPECTED = {name: tuple(value.shape) for name, value in PicoDet(SMALL).state_dict().items()}
TABLE = name_table(SMALL.backbone, SMALL.neck, SMALL.head)
STEM = "backbone._conv1._conv.weight"
PROJECT = "head.distribution_project.project"


@pytest.fixture
def arrays():
    return seeded_checkpoint(SMALL)


def match(arrays, expected=EXPECTED, **options):
    return match_tensors(arrays, expected, TABLE, SMALL.input_size, **options)


def test_every_tensor_finds_its_place(arrays):
    conversion = match(arrays)
    assert conversion.ok
    assert list(conversion.weights) == list(EXPECTED)
    assert {name: value.shape for name, value in conversion.weights.items()} == EXPECTED
    assert np.array_equal(conversion.weights["backbone.stem.conv.weight"], arrays[STEM])
    assert (conversion.mapped, len(conversion.skipped)) == (576, 4)
    assert conversion.dtypes == {"float32": 576}
    assert {a.name.rsplit(".", 1)[1] for a in conversion.initialized} == {"num_batches_tracked"}
    assert conversion.weights["backbone.stem.bn.num_batches_tracked"] == 0


def test_all_problems_are_reported_together(arrays):
    del arrays[STEM]
    arrays["backbone.extra"] = np.ones(3, np.float32)
    arrays["head.head_cls0.bias"] = np.ones(7, np.float32)
    arrays["head.head_cls1.bias"] = np.ones(35, np.int64)
    arrays["head.head_cls2.weight"] = arrays["head.head_cls2.weight"].swapaxes(0, 1)
    arrays["neck.conv_t.convs.0.bn.bias"][:2] = np.nan, -np.inf
    arrays["head.p3_feat.scale_reg"] = np.ones(2, np.float32)
    arrays[PROJECT] = np.arange(8, dtype=np.float32) * 1.1
    found = match(arrays).problems
    assert Problem("missing", STEM, "nothing", "[24, 3, 3, 3]") in found
    assert Problem("unexpected", "backbone.extra", "[3] float32", "no such tensor") in found
    assert Problem("mismatched", "head.head_cls0.bias", "[7] float32", "[35] float") in found
    assert Problem("mismatched", "head.head_cls1.bias", "[35] int64", "[35] float") in found
    nonfinite = "neck.conv_t.convs.0.bn.bias"
    assert (
        Problem(
            "not finite", nonfinite, "1 NaN, 1 Inf of 96", "finite numbers, or --allow-nonfinite"
        )
        in found
    )
    assert Counter(problem.kind for problem in found) == {
        "missing": 1,
        "unexpected": 1,
        "mismatched": 3,
        "not finite": 1,
        "wrong value": 2,
    }


def test_a_negative_variance_is_none(arrays):
    arrays["backbone._conv1._batch_norm._variance"][2] = -0.5
    (problem,) = match(arrays).problems
    assert (problem.kind, problem.found) == ("wrong value", "a variance of -0.5")


def test_nonfinite_weights_pass_if_asked_for(arrays):
    arrays[STEM][0] = np.nan
    assert not match(arrays).ok
    assert match(arrays, allow_nonfinite=True).ok


@pytest.mark.slow
@pytest.mark.parametrize(
    ("factor", "ok"), [(1.00012, True), (1.01, True), (1.03, False), (np.nan, False)]
)
def test_the_bins_may_be_averaged_but_not_others(arrays, factor, ok):
    arrays[PROJECT] *= factor
    conversion = match(arrays, allow_nonfinite=True)
    assert conversion.ok == ok
    if ok:
        assert np.array_equal(conversion.weights["head.integral.project"], arrays[PROJECT])


def test_formats_are_counted(arrays):
    arrays[STEM] = arrays[STEM].astype(np.float64)
    arrays["head.head_cls0.bias"] = np.zeros(35, np.uint16)
    assert match(arrays).dtypes == {"float32": 574, "float64": 1, "bfloat16": 1}


@pytest.mark.parametrize(
    ("count", "ok"),
    [(np.array(3), True), (np.array(0), True), (np.array(-1), False), (np.array(1.0), False)],
)
def test_batches_that_have_been_counted(count, ok):
    """Paddle's files have none, others of PyTorch do."""
    table = NameTable(part=(Rule("a.n", "a.num_batches_tracked"),))
    expected = {"part.a.num_batches_tracked": ()}
    conversion = match_tensors({"part.a.n": count}, expected, table, (32, 32))
    assert conversion.ok == ok
    if ok:
        assert conversion.weights["part.a.num_batches_tracked"] == count
        assert (conversion.initialized, conversion.mapped) == ((), 1)
    else:
        (problem,) = conversion.problems
        assert (problem.kind, problem.expected) == ("mismatched", "[] count")


def test_a_rule_that_no_tensor_needs_is_a_mistake():
    table = NameTable(part=(Rule("a", "b"), Rule("c", "d"), Rule("e", "f", has_tensors=False)))
    conversion = match_tensors({"part.a": np.ones(1)}, {"part.b": (1,)}, table, (32, 32))
    assert conversion.problems == (Problem("unused rule", "c -> d", "no tensor", "at least one"),)


class TestUnmatched:
    """Tensors that are left out must still be what they are said to be."""

    def refused(self, arrays):
        return [problem.name for problem in match(arrays).problems]

    def test_anchors_of_the_input_size(self, arrays):
        centers, strides = make_anchor_points(feature_map_sizes(SMALL.input_size))
        arrays |= {"head.anchor_points": centers, "head.stride_tensor": strides}
        conversion = match(arrays)
        assert conversion.ok
        assert len(conversion.skipped) == 6

    def test_anchors_may_be_averaged(self, arrays):
        centers, _ = make_anchor_points(feature_map_sizes(SMALL.input_size))
        arrays |= {"head.anchor_points": centers * np.float32(1.00012)}
        assert match(arrays).ok
        arrays["head.anchor_points"] = centers[:, ::-1]
        assert self.refused(arrays) == ["head.anchor_points"]

    def test_anchors_that_are_none(self, arrays):
        arrays["head.anchor_points"] = np.array(1.0)
        assert self.refused(arrays) == ["head.anchor_points"]

    def test_anchors_in_bfloat16(self, arrays):
        centers, _ = make_anchor_points(feature_map_sizes(SMALL.input_size))
        arrays["head.anchor_points"] = (centers.view(np.uint32) >> 16).astype(np.uint16)
        assert match(arrays).ok

    def test_anchors_of_another_size(self, arrays):
        centers, strides = make_anchor_points(feature_map_sizes((64, 64)))
        arrays |= {"head.anchor_points": centers, "head.stride_tensor": strides}
        assert self.refused(arrays) == ["head.anchor_points", "head.stride_tensor"]

    def test_a_predictor_under_two_names(self, arrays):
        arrays["head.head_cls_list.0.bias"] = arrays["head.head_cls0.bias"].copy()
        assert match(arrays).ok
        arrays["head.head_cls_list.0.bias"][3] += 1
        assert self.refused(arrays) == ["head.head_cls_list.0.bias"]

    def test_only_the_second_name(self, arrays):
        arrays["head.head_cls_list.0.bias"] = arrays.pop("head.head_cls0.bias")
        assert self.refused(arrays) == ["head.head_cls0.bias", "head.head_cls_list.0.bias"]

    def test_the_unused_scale(self, arrays):
        arrays["head.p3_feat.scale_reg"] = np.full(1, np.inf, np.float32)
        assert self.refused(arrays) == ["head.p3_feat.scale_reg"]

    def test_each_world_has_its_own(self, arrays):
        """What ppdet leaves behind is no excuse in a file of the mmdet port."""
        refused = match(arrays, unmatched_rules=MMDET_ONLY).problems
        assert {(p.kind, p.name) for p in refused} == {
            ("unexpected", f"head.p{level}_feat.scale_reg") for level in (3, 4, 5, 6)
        }
