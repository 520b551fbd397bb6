"""ppdet's layers under our names, by the table that maps its weights."""

from dataclasses import replace

from picodet.alignment.pairing.by_name import pair_by_name
from picodet.alignment.pairing.pairs import PairedCall
from picodet.alignment.recording.index import RecordedCall, Weight
from picodet.alignment.result import Unpaired
from picodet.converter.names.name_tables import name_table
from picodet.zoo.architectures import S_LCNET, S
from tests.alignment.recording.test_index import INDEX


def pair(calls=(), weights=(), config=S):
    table = name_table(config.backbone, config.neck, config.head)
    return pair_by_name(replace(INDEX, calls=calls, weights=weights), table)


def test_calls_go_by_our_names():
    first = RecordedCall("backbone._conv1._conv", 0, "Conv2D", ("i",), ("o",))
    second = RecordedCall("neck.upsample", 1, "Upsample", ("o",), ("w",))
    pairing = pair(calls=(first, second))
    assert pairing.calls == (
        PairedCall("backbone.stem.conv", 0, "Conv2D", "backbone._conv1._conv", ("i",), ("o",)),
        PairedCall("neck.upsample", 1, "Upsample", "neck.upsample", ("o",), ("w",)),
    )
    assert pairing.unpaired == ()


def test_weights_go_by_our_names():
    pairing = pair(
        weights=(
            Weight("backbone._conv1._batch_norm._mean", "w"),
            Weight("head.p3_feat.scale_reg", "w"),  # left out by the converter, and it says why
            Weight("head.head_cls_list.0.weight", "w"),
        )
    )
    assert dict(pairing.weights) == {
        "backbone.stem.bn.running_mean": "backbone._conv1._batch_norm._mean"
    }
    assert pairing.unpaired == ()


def test_what_the_table_has_no_word_for_is_unpaired():
    pairing = pair(
        calls=(RecordedCall("neck.swish", 0, "Swish", (), ()),),
        weights=(Weight("neck.swish.beta", "w"),),
    )
    assert pairing.calls == ()
    assert pairing.unpaired == (
        Unpaired("reference", "neck.swish", "Swish"),
        Unpaired("reference", "neck.swish.beta", "tensor"),
    )


def test_what_another_stage_compares_is_no_layer_here():
    calls = tuple(
        RecordedCall(path, 0, "Layer", (), ()) for path in ("head", "head.distribution_project")
    )
    pairing = pair(calls=calls)
    assert (pairing.calls, pairing.unpaired) == ((), ())


def test_a_predictor_of_2022_is_a_weight_once():
    """ppdet's checkpoints have it under two names."""
    names = ("head.head_reg0.weight", "head.head_reg_list.0.weight", "head.head_cls_list.0.weight")
    pairing = pair(weights=tuple(Weight(name, "w") for name in names), config=S_LCNET)
    assert dict(pairing.weights) == {"head.predictors.sides0.weight": "head.head_reg0.weight"}
    assert pairing.unpaired == ()
