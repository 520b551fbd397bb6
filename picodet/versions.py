"""Of what took part in a run."""

import platform
from importlib.metadata import PackageNotFoundError, version

from picodet import __version__


def versions(*packages: str) -> dict[str, str]:
    """Python's, picodet's, NumPy's, OpenCV's and those of `packages` that are installed."""
    found = {"python": platform.python_version(), "picodet": __version__}
    for package in ("numpy", "opencv-python-headless", "opencv-python", *packages):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
