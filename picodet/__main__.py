"""`python -m picodet` is `picodet`."""

from picodet.cli import main
from picodet.system import safe_path  # noqa: F401 (before anything is imported that is not ours)

main()
