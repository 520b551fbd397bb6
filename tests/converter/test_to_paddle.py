"""What was converted goes back: the same tensors, all that ppdet expects, in its order."""

import json
import os
import subprocess
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from picodet.converter.match_tensors import match_tensors
from picodet.converter.names.name_tables import name_table
from picodet.converter.to_paddle import to_paddle
from picodet.errors import ConversionError
from picodet.formats import pdparams, pdparams_writer
from picodet.models.picodet import PicoDet
from picodet.zoo.architectures import S_LCNET, S_NPU, SHUFFLENET, VARIANTS, XS_LCNET, S
from picodet.zoo.official import CONFIGS
from scripts.fixtures import seeded

TENSORS = {  # of ppdet's state_dict, counted in ppdet itself
    **{"picodet_s": 580, "picodet_m": 660, "picodet_l": 660},
    **{"picodet_lcnet_1_0x": 491, "picodet_lcnet_1_5x": 491, "picodet_lcnet_2_5x": 491},
    **{"picodet_lcnet_1_5x_wide": 491, "picodet_lcnet_2_5x_leaky_relu": 491},
    **{"picodet_mobilenetv3_large_1x": 610},
    **{"picodet_r18": 463, "picodet_shufflenetv2_1x": 543, "picodet_s_npu": 583},
    **{"picodet_xs_lcnet": 463, "picodet_s_lcnet": 463},
    **{"picodet_m_lcnet": 543, "picodet_l_lcnet": 543},
}
SCALES = [f"head.p{level}_feat.scale_reg" for level in (3, 4, 5, 6)]


def table_of(config):
    return name_table(config.backbone, config.neck, config.head)


@cache
def expected_of(config):
    return {name: tuple(value.shape) for name, value in PicoDet(config).state_dict().items()}


def weights_of(config):
    """As a model would have them, from seeded numbers."""
    arrays = seeded.checkpoint(seeded.shapes(config))
    conversion = match_tensors(arrays, expected_of(config), table_of(config), config.input_size)
    assert conversion.ok
    return conversion.weights


small = st.builds(
    replace,
    st.sampled_from([S, S_LCNET, S_NPU, SHUFFLENET]),
    classes=st.integers(1, 3).map(lambda count: tuple("abc"[:count])),
    channels=st.sampled_from([16, 32]),
    head_convs=st.integers(1, 3),
    reg_max=st.integers(7, 9),
)


@pytest.mark.slow
@settings(max_examples=25)
@given(small, st.randoms(use_true_random=False))
def test_convert_and_back_and_convert_changes_no_bit(config, random):
    weights = weights_of(config)
    changed = random.choice([n for n in weights if n.endswith((".weight", "_mean"))])
    weights[changed] = np.full_like(weights[changed], random.uniform(-1, 1))
    back = to_paddle(weights, table_of(config))
    again = match_tensors(back.arrays, expected_of(config), table_of(config), config.input_size)
    assert again.ok
    assert list(again.weights) == list(weights)
    for name, value in weights.items():
        assert again.weights[name].tobytes() == value.tobytes()
    assert {one.name for one in again.skipped} == {one.name for one in back.reconstructed}
    assert {one.name for one in again.initialized} == {one.name for one in back.dropped}


@pytest.mark.slow
@pytest.mark.parametrize("config", VARIANTS, ids=lambda config: config.name)
def test_all_that_ppdet_has_is_there(config):
    weights = {name: np.ones(shape) for name, shape in expected_of(config).items()}
    back = to_paddle(weights, table_of(config))
    assert len(back.arrays) == TENSORS[config.name]
    assert sorted(back.arrays) == sorted(seeded.shapes(config))


def test_what_was_restored_and_what_was_lost_is_reported():
    back = to_paddle(weights_of(S), table_of(S))
    assert [one.name for one in back.reconstructed] == SCALES
    assert all(back.arrays[name].tolist() == [1] for name in SCALES)
    assert {"GFLHead" in one.reason for one in back.reconstructed} == {True}
    assert len(back.dropped) == 103
    assert back.dropped[0].name == "backbone.stem.bn.num_batches_tracked"


def test_predictors_of_the_new_head_stand_under_two_names():
    arrays = to_paddle(weights_of(XS_LCNET), table_of(XS_LCNET)).arrays
    assert arrays["head.head_reg_list.2.bias"] is arrays["head.head_reg2.bias"]
    names = pdparams_writer.parameter_names(arrays)
    assert names["head.head_cls_list.3.weight"] == names["head.head_cls3.weight"]
    layers = list(dict.fromkeys(name.rsplit(".", 1)[0] for name in list(arrays)[-16:]))
    assert layers == [f"head.head_{kind}{level}" for level in range(4) for kind in ("cls", "reg")]


def test_a_backbone_alone_has_nothing_restored():
    weights = {n: a for n, a in weights_of(S).items() if n.startswith("backbone.")}
    back = to_paddle(weights, table_of(S))
    assert back.reconstructed == ()
    assert {name.split(".")[0] for name in back.arrays} == {"backbone"}


def test_weights_of_another_architecture():
    with pytest.raises(
        ConversionError, match="have no name in the target's naming scheme, first backbone"
    ):
        to_paddle(weights_of(S), table_of(XS_LCNET))


@pytest.mark.parametrize("name", ["picodet_s_416_coco", "picodet_m_416_coco"])
def test_real_weights_go_back_to_the_file_they_came_from(shared, name):
    """All but the unused scales, which training leaves alone and these recordings have not."""
    original = pdparams.read(shared / "reference" / name / f"{name}.pdparams")
    config = CONFIGS[name]
    there = match_tensors(original, expected_of(config), table_of(config), config.input_size)
    arrays = to_paddle(there.weights, table_of(config)).arrays
    assert list(arrays) == list(original)
    changed = [n for n in arrays if arrays[n].tobytes() != original[n].tobytes()]
    assert changed == SCALES


LIVE = """
import json, sys, warnings
warnings.simplefilter("ignore")
import paddle
from picodet.alignment.paddle_side import model as ppdet_model
from picodet.zoo.official import CONFIGS

detector = ppdet_model.build(CONFIGS[sys.argv[1]])
loaded = paddle.load(sys.argv[2])
missing, unexpected = detector.set_state_dict(loaded)
state = detector.state_dict()
kept = paddle.load(sys.argv[2], keep_name_table=True)["StructuredToParameterName@@"]
print(json.dumps({
    "missing": missing,
    "unexpected": unexpected,
    "order": list(state) == list(loaded) == list(kept),
    "same parameters": len({kept[name] for name in state}) == len({v.name for v in state.values()}),
    "equal": all(bool((state[name] == loaded[name]).all()) for name in state),
    "bfloat16": str(paddle.load(sys.argv[3])["x.weight"].dtype),
}))
"""


@pytest.mark.slow
@pytest.mark.paddle
@pytest.mark.parametrize("name", ["picodet_s_416_coco", "picodet_xs_320_coco_lcnet"])
def test_live_ppdet_takes_it_strictly(paddle_python, tmp_path, name):
    config = CONFIGS[name]
    path, halves = tmp_path / "w.pdparams", tmp_path / "h.pdparams"
    pdparams_writer.write(path, to_paddle(weights_of(config), table_of(config)).arrays)
    pdparams_writer.write(halves, {"x.weight": np.array([0x3F80], np.uint16)})
    root = seeded.__file__.removesuffix("scripts/fixtures/seeded.py")
    done = subprocess.run(
        [paddle_python, "-c", LIVE, name, path, halves],
        env={**os.environ, "PYTHONPATH": root},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "missing": [],
        "unexpected": [],
        "order": True,
        "same parameters": True,
        "equal": True,
        "bfloat16": "paddle.bfloat16",
    }
