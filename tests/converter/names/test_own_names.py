import pytest

from picodet.converter.names.own_names import OwnNames, own_table
from picodet.models.picodet import PicoDet
from picodet.zoo.architectures import VARIANTS, S


@pytest.mark.parametrize("config", VARIANTS, ids=lambda config: config.name)
def test_every_name_of_ours_is_its_own_translation(config):
    table = own_table(config.backbone, config.neck, config.head)
    assert isinstance(table, OwnNames)
    for name in PicoDet(config).state_dict():
        assert table.to_ours(name).name == table.to_paddle(name).name == name


@pytest.mark.parametrize(
    "name",
    [
        "backbone._conv1._conv.weight",
        "backbone.stem.bn._mean",
        "head.predictors.0.num_batches",
        "num_batches_tracked",
        "neck.x.num_batches_tracked",
        "",
    ],
)
def test_and_no_other_is(name):
    assert own_table(S.backbone, S.neck, S.head).to_ours(name) is None
