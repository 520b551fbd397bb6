import pytest

from picodet.system.extras import import_error_message


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ModuleNotFoundError("x", name="onnx"), "onnx is not installed: pip install onnx"),
        (
            ModuleNotFoundError("x", name="google.protobuf"),
            "google is not installed: pip install protobuf",
        ),
        (
            ImportError("cannot import name 'builder' from 'google.protobuf'", name="onnx"),
            "onnx is installed but cannot be imported (ImportError: cannot import name 'builder' "
            "from 'google.protobuf')",
        ),
        (
            ImportError("libgomp.so.1: cannot open shared object file"),
            "a package is installed but cannot be imported (ImportError: libgomp.so.1: cannot open "
            "shared object file)",
        ),
    ],
)
def test_only_what_is_missing_is_to_be_installed(error, message):
    assert import_error_message(error) == message
