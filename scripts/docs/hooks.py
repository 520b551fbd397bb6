"""MkDocs hooks: insert tables that are generated from the data of the package.

A comment on a line of its own, `<!-- generated: recipes -->`, is replaced by a table. The comments
that mark which commands tests/docs/test_pages.py runs are removed.
"""

import re
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))  # this package, installed or not

from scripts.docs.pages import MARKER
from scripts.docs.tables import TABLES

GENERATED = re.compile(r"^<!-- generated: (\w+) -->$", re.MULTILINE)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """The page with its tables. Raises KeyError for a name that is not in TABLES."""
    return MARKER.sub("", GENERATED.sub(lambda found: TABLES[found[1]](), markdown))
