"""`python -m picodet` is `picodet`."""

from picodet.cli import main

main()
