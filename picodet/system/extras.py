"""Messages about missing optional packages (the extras of setup.cfg)."""

PIP_NAMES = {"google": "protobuf", "yaml": "PyYAML", "cv2": "opencv-python-headless"}  # for pip


def import_error_message(error: ImportError) -> str:
    """Why an import failed: the missing package and how to install it, or the error itself.

    An installed but broken package is not reported as missing: installing it may not help.
    """
    package = (error.name or "").split(".")[0]
    if not isinstance(error, ModuleNotFoundError) or package in ("", "picodet"):
        reason = f"{type(error).__name__}: {error}"
        return f"{package or 'a package'} is installed but cannot be imported ({reason})"
    return f"{package} is not installed: pip install {PIP_NAMES.get(package, package)}"
