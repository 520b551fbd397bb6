"""`python -m picodet` is `picodet`."""

from picodet.system import import_path  # noqa: F401 (before anything is imported that is not ours)

# isort: split
from picodet.cli import main

main()
