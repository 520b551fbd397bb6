"""`python -m picodet` is `picodet`."""

from picodet import safe_path  # noqa: F401 (before anything is imported that is not ours)
from picodet.cli import main

main()
