"""Python imports it when it starts, in the processes of a test with a gate (gated_image.py).

A named pipe is no image for picodet; here it is read as if it were one.
"""

import stat

from picodet import files

usual = files.read_bytes


def read_bytes(path, limit):
    try:
        gated = stat.S_ISFIFO(path.stat().st_mode)
    except OSError:
        gated = False
    return path.read_bytes() if gated else usual(path, limit)


files.read_bytes = read_bytes
