from dataclasses import replace

import pytest
from comparisons import BROKEN, FINE, LAYERS, WRONG, layer

from picodet.alignment.report.blocks import ROOT_BLOCK, blocks, name_in_block
from picodet.alignment.result import worst


@pytest.mark.parametrize(
    ("path", "block", "inside"),
    [
        ("backbone.stem.conv", "backbone.stem", "conv"),
        ("backbone.max_pool", "backbone.max_pool", "itself"),
        ("backbone.stage3.block12.se.reduce", "backbone.stage3.block12", "se.reduce"),
        ("neck.conv_t.convs.0.bn", "neck.conv_t", "convs.0.bn"),
        ("neck.downsamples.1.bn1", "neck.downsamples.1", "bn1"),
        ("neck.downsamples.1", "neck.downsamples.1", "itself"),
        ("head.conv_feat.levels.2.dw0.conv", "head level 2", "dw0.conv"),
        ("head.predictors.3", "head level 3", "predictor"),
        ("head.conv_feat", "head level 0", "head.conv_feat"),
        ("backbone.blocks6.1.se.relu", "backbone.blocks6.1", "se.relu"),
        ("backbone.conv12.expand_conv.bn", "backbone.conv12", "expand_conv.bn"),
        ("backbone.res3.res3a.branch2b.conv", "backbone.res3.res3a", "branch2b.conv"),
        ("neck.top_down_blocks.1.0.dw_conv", "neck.top_down_blocks.1", "0.dw_conv"),
        ("head.conv_feat.se.2.fc", "head level 2", "se.fc"),
        ("head.alignment.0.conv1", "head level 0", "alignment.conv1"),
        ("head.alignment.0", "head level 0", "alignment"),
        ("head.predictors.reg1", "head level 1", "predictor of reg"),
        ("backbone.stem.conv + backbone.stem.bn", "backbone.stem", "conv + bn"),
        ("head", "head", "itself"),
        ("", ROOT_BLOCK, "itself"),
    ],
)
def test_where_a_layer_belongs(path, block, inside):
    (found,) = blocks([layer(path)])
    assert (found.name, name_in_block(found, found.layers[0])) == (block, inside)


def test_blocks_come_in_the_order_of_the_forward_pass_with_the_worst_of_their_layers():
    folded = blocks(LAYERS)
    names = ["backbone.stem", "backbone.stage2.block1", "neck.upsample", "head level 1"]
    assert [block.name for block in folded[:4]] == names
    assert [block.status for block in folded[:4]] == ["aligned", "guilty", "aligned", "guilty"]
    assert (folded[1].local, folded[3].local) == (WRONG, BROKEN)
    assert name_in_block(folded[2], LAYERS[5]) == "itself, call 1"


def test_a_failure_is_worse_than_what_passes_without_noise():
    passes = replace(FINE, floor=0.0)
    assert passes.ok
    assert worst([None, passes, WRONG, FINE]) is WRONG
    assert worst([WRONG, replace(FINE, error=float("nan"))]) is not WRONG
    assert worst([None]) is None
