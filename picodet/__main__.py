"""`python -m picodet` is `picodet`."""

from picodet.system import import_path  # noqa: F401 (before any other package is imported)

# isort: split
from picodet.cli import main

main()
