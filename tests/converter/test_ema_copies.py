"""Copies for averaging are told from the tensors themselves, or one clear error."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from picodet.converter.ema_copies import split_ema
from picodet.converter.names.mmdet_names import MMDET
from picodet.errors import CheckpointError
from picodet.models.picodet import PicoDet
from picodet.zoo.architectures import S


def state_dict(names):
    """Tensors, and what mmdet's hook would register beside them."""
    own = {name: np.full(2, i) for i, name in enumerate(names)}
    return own, {f"ema_{name.replace('.', '_')}": array + 0.5 for name, array in own.items()}


def test_of_the_mmdet_port():
    own, copies = state_dict([MMDET.to_paddle(name).name for name in PicoDet(S).state_dict()])
    assert len(copies) == 679
    assert "ema_bbox_head_cls_convs_0_1_depthwise_conv_conv_weight" in copies
    found, last = split_ema(copies | own)
    assert list(found) == list(last) == list(own)
    assert all(last[name][0] == own[name][0] + 0.5 for name in own)


def test_without_any():
    own, _ = state_dict(["a.b"])
    assert split_ema(own) == (own, {})


@given(st.sets(st.text("ab_.", min_size=1).filter(lambda name: not name.startswith("ema_"))))
def test_any_names_are_found_or_reported_as_alike(names):
    own, copies = state_dict(names)
    if len(copies) < len(own):  # a.b and a_b
        with pytest.raises(CheckpointError, match="may be the EMA copy of"):
            split_ema(own | copies)
    else:
        found, last = split_ema(own | copies)
        assert (set(found), set(last)) == (names, names)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda own, copies: copies.pop("ema_a_b"),
            "each of 2 tensors.* 1 are missing, first ema_a_b",
        ),
        (lambda own, copies: own.pop("c"), "each of 1 tensors.* 1 match no tensor, first ema_c"),
        (
            lambda own, copies: copies.update(ema_c=np.ones(3)),
            r"ema_c has shape \[3\]; expected that of c, \[2",
        ),
    ],
)
def test_one_too_many_or_too_few(change, message):
    own, copies = state_dict(["a.b", "c"])
    change(own, copies)
    with pytest.raises(CheckpointError, match=message):
        split_ema(own | copies)
