import json

import pytest

from picodet.formats.strict_json import unique_keys


def test_every_key_once():
    text = '{"a": {"b": 1}, "c": [{"b": 2}]}'
    assert json.loads(text, object_pairs_hook=unique_keys) == json.loads(text)


@pytest.mark.parametrize("text", ['{"a": 1, "a": 1}', '[{"x": {"a": 1, "b": 2, "a": 3}}]'])
def test_a_duplicate_key(text):
    with pytest.raises(ValueError, match="duplicate key"):
        json.loads(text, object_pairs_hook=unique_keys)
