"""onnxruntime without its telemetry; all of picodet imports it from here.

From 1.32 on importing it opens a database in the cache folder and leaves a `.ses` in the temporary
one, unless an environment variable is set before. This module sets it; a user's value is kept.
"""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime  # after the variable is set

onnxruntime.disable_telemetry_events()  # for versions that do not read the variable

__all__ = ["onnxruntime"]
