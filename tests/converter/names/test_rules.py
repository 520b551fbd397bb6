"""How rules read a path, on a table of a few."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from picodet.converter.names.rules import NameTable, Rule

INNER = (Rule("a", "first"), Rule("w", "weight"))
RULES = (
    Rule("_a", "a"),
    Rule("{block}_{i}", "blocks.{block}.of{i}"),
    Rule("two.words", "one"),
    Rule("_se", "se", nested=INNER),
    Rule("pool", "pool", has_tensors=False),
    Rule("w", "w"),
)
TABLE = NameTable(body=RULES, end=(Rule("a", "z"),))


@pytest.mark.parametrize(
    ("paddle", "ours"),
    [
        ("body", "body"),
        ("body._a", "body.a"),
        ("body.2_10._a.w", "body.blocks.2.of10.a.w"),
        ("body._a.two.words", "body.a.one"),
        ("end.a", "end.z"),
        # inside, a word means something else; that lasts
        ("body._a._se", "body.a.se"),
        ("body._a._se.a.w", "body.a.se.first.weight"),
    ],
)
def test_by_example(paddle, ours):
    assert TABLE.to_ours(paddle).name == ours
    assert TABLE.to_paddle(ours).name == paddle


def test_a_translation_names_its_rules():
    assert TABLE.to_ours("body._a._se.w").rules == {RULES[0], RULES[3], INNER[1]}
    assert TABLE.to_ours("body").rules == frozenset()


def test_the_rules_of_a_table_are_those_inside_too():
    assert TABLE.rules == {*RULES, *INNER, Rule("a", "z")}


@pytest.mark.parametrize(
    "path",
    [
        "",
        ".",
        "body.",
        ".body",
        "other._a",
        "body.a",  # ours, and a word of another scope
        "body._se._a",  # a word from without
        "body.two",
        "body._a.x",
        "body._a..w",
        "body._a.w.",
        "body._a_w",
        "body._a\n",
        "body.2_1²",
        "end._a",
    ],
)
def test_what_no_rule_speaks_of_has_no_name(path):
    assert TABLE.to_ours(path) is None


segments = st.sampled_from(
    ["", "body", "end", "2_1", "0", *(word for rule in (*RULES, *INNER) for word in rule[:2])]
)


@given(st.lists(segments, max_size=5).map(".".join))
def test_nothing_else_slips_through(path):
    """Whatever has a translation has it back, odd paths with empty segments included."""
    for there, back in ((TABLE.to_ours, TABLE.to_paddle), (TABLE.to_paddle, TABLE.to_ours)):
        if (translation := there(path)) is not None:
            assert back(translation.name).name == path
