"""onnxruntime as all of picodet imports it: without its telemetry.

From 1.32 on importing it opens a database in the cache folder and leaves a `.ses` in the temporary
one; only a variable that is set before keeps it from that. If the user has set it, it is kept.
"""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime  # only now

onnxruntime.disable_telemetry_events()  # of the versions that know no variable

__all__ = ["onnxruntime"]
