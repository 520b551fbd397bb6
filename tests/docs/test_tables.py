import json
import re

import pytest

from picodet.zoo.official import OFFICIAL
from scripts.docs.tables import CLAIMS, ROOT, TABLES, claims, table


@pytest.mark.parametrize("name", TABLES)
def test_every_table_is_one(name):
    lines = [line for line in TABLES[name]().splitlines() if line.startswith("|")]
    assert len(lines) > 10
    assert {"---"} <= {cell.strip() for line in lines for cell in line.split("|")}


def test_all_models_with_the_parameters_that_were_counted():
    counts = json.loads((ROOT / "tests/golden/counts.json").read_text())
    text = TABLES["models"]()
    for official in OFFICIAL:
        (line,) = (each for each in text.splitlines() if f"`{official.config.name}`" in each)
        assert f"{counts[official.config.name]['parameters'] / 1e6:.2f} M" in line
        assert (official.url or "none published") in line


def test_a_bar_in_a_cell():
    assert table(("a",), [("x|y",)]) == "| a |\n| --- |\n| x\\|y |\n"


def test_tests_that_prove_something_exist():
    rows = [row for group in claims() for row in group["rows"]]
    assert len(rows) > 30
    missing = [name for row in rows for name in row["tests"] if not (ROOT / name).exists()]
    assert not missing, f"named in {CLAIMS}"
    for row in rows:
        assert row["claim"].strip()
        assert row["tests"]


def test_every_page_is_in_the_navigation():
    nav = (ROOT / "mkdocs.yml").read_text()
    named = set(re.findall(r"[\w/-]+\.md", nav))
    docs = ROOT / "docs"
    assert named == {path.relative_to(docs).as_posix() for path in docs.rglob("*.md")}


def test_placeholders_have_a_table():
    docs = ROOT / "docs"
    named = [
        name
        for path in docs.rglob("*.md")
        for name in re.findall(r"<!-- generated: (\w+) -->", path.read_text())
    ]
    assert sorted(named) == sorted(TABLES)
