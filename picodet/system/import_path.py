"""Removes the working directory from sys.path, where Python has added it by itself.

Imported before any other package: by `python -m picodet`, as which torchrun starts it too, and by
the server that starts the workers of a training. A yaml.py or a folder named torch in the working
directory must not be imported. PYTHONPATH is the user's choice, and stays.
"""

import os
import sys
from contextlib import suppress

OURS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120

with suppress(OSError):  # the working directory was deleted
    if not getattr(sys.flags, "safe_path", False) and sys.path[:1] in ([""], [os.getcwd()]):  # noqa: PTH109
        del sys.path[0]
        if os.getcwd() == OURS:  # noqa: PTH109  # a checkout that is not installed
            sys.path.append(OURS)
