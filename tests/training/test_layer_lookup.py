import pytest
from torch import nn

from picodet.training.layer_lookup import nearest


def test_the_innermost_layer_of_the_table_counts():
    model = nn.Sequential(nn.Conv2d(1, 1, 1), nn.ModuleDict({"a": nn.Linear(1, 1), "b": nn.ReLU()}))
    found = {name: entry for name, _, entry in nearest(model, {nn.Sequential: 1, nn.ModuleDict: 2})}
    assert found == {"0": 1, "1.a": 2}


def test_a_layer_nowhere_in_the_table_is_an_error():
    with pytest.raises(KeyError, match="0: no enclosing module is in the table"):
        list(nearest(nn.Sequential(nn.Linear(1, 1)), {nn.ModuleDict: 1}))
