"""What MkDocs calls while it builds the site: tables are made from the data of the package.

A page says where, with a comment on a line of its own: `<!-- generated: recipes -->`. The comments
that tell tests/docs/test_pages.py which commands it runs are taken out.
"""

import re
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))  # the package as it is here, installed or not

from scripts.docs.pages import MARKER
from scripts.docs.tables import TABLES

GENERATED = re.compile(r"^<!-- generated: (\w+) -->$", re.MULTILINE)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """The page with its tables. Raises KeyError for a name that no function has."""
    return MARKER.sub("", GENERATED.sub(lambda found: TABLES[found[1]](), markdown))
