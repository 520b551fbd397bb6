"""Versions of packages, and the CPU, for reports."""

import platform
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from picodet.version import __version__

CPUINFO = Path("/proc/cpuinfo")  # Linux only
CPU_FLAGS = {"avx512f": "AVX-512", "avx2": "AVX2", "sse4_2": "SSE4.2"}  # best first


def versions(*packages: str) -> dict[str, str]:
    """Versions of Python, picodet, NumPy, OpenCV and the installed ones of `packages`."""
    found = {"python": platform.python_version(), "picodet": __version__}
    for package in ("numpy", "opencv-python-headless", "opencv-python", *packages):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def cpu() -> str:
    """The CPU of this machine, if known, such as "AMD EPYC, AVX2"."""
    try:
        text = CPUINFO.read_text(errors="replace")
    except OSError:
        text = ""
    model = re.search(r"^model name\s*: *(.+)$", text, re.MULTILINE)
    flags = re.search(r"^flags\s*:(.+)$", text, re.MULTILINE)
    has = flags[1].split() if flags else []
    best = [name for flag, name in CPU_FLAGS.items() if flag in has][:1]
    return ", ".join([model[1].strip() if model else platform.machine(), *best])
