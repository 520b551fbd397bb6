"""ppdet's layers by picodet's names, from the table that maps the weights."""

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


def test_calls_have_picodets_names():
    first = RecordedCall("backbone._conv1._conv", 0, "Conv2D", ("i",), ("o",))
    second = RecordedCall("neck.upsample", 1, "Upsample", ("o",), ("w",))
    pairing = pair(calls=(first, second))
    assert pairing.calls == (
        PairedCall("backbone.stem.conv", 0, "Conv2D", "backbone._conv1._conv", ("i",), ("o",)),
        PairedCall("neck.upsample", 1, "Upsample", "neck.upsample", ("o",), ("w",)),
    )
    assert pairing.unpaired == ()


def test_weights_have_picodets_names():
    pairing = pair(
        weights=(
            Weight("backbone._conv1._batch_norm._mean", "w"),
            Weight("head.p3_feat.scale_reg", "w"),  # the converter skips it, with a reason
            Weight("head.head_cls_list.0.weight", "w"),
        )
    )
    assert dict(pairing.weights) == {
        "backbone.stem.bn.running_mean": "backbone._conv1._batch_norm._mean"
    }
    assert pairing.unpaired == ()


def test_names_that_the_table_lacks_are_unpaired():
    pairing = pair(
        calls=(RecordedCall("neck.swish", 0, "Swish", (), ()),),
        weights=(Weight("neck.swish.beta", "w"),),
    )
    assert pairing.calls == ()
    assert pairing.unpaired == (
        Unpaired("reference", "neck.swish", "Swish"),
        Unpaired("reference", "neck.swish.beta", "tensor"),
    )


def test_layers_that_other_stages_compare_are_left_out():
    calls = tuple(
        RecordedCall(path, 0, "Layer", (), ()) for path in ("head", "head.distribution_project")
    )
    pairing = pair(calls=calls)
    assert (pairing.calls, pairing.unpaired) == ((), ())


def test_a_predictor_of_2022_is_one_weight():
    """ppdet's checkpoints have it under two names."""
    names = ("head.head_reg0.weight", "head.head_reg_list.0.weight", "head.head_cls_list.0.weight")
    pairing = pair(weights=tuple(Weight(name, "w") for name in names), config=S_LCNET)
    assert dict(pairing.weights) == {"head.predictors.reg0.weight": "head.head_reg0.weight"}
    assert pairing.unpaired == ()
