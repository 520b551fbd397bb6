"""onnxruntime: which opsets it runs, and what a file computes in it."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from picodet.errors import PicoDetError
from picodet.system.ort import onnxruntime

PROVIDERS = ["CPUExecutionProvider"]


def check_opset(opset: int) -> None:
    """Raise PicoDetError where the installed onnxruntime does not run it."""
    if opset > (newest := newest_opset()):
        raise PicoDetError(
            f"opset {opset}: the installed onnxruntime {onnxruntime.__version__} and onnx "
            f"{onnx.__version__} go up to {newest}: pip install --upgrade onnx onnxruntime"
        )


def newest_opset() -> int:
    """The newest that onnx can write and onnxruntime run, found by trying."""
    known = onnx.defs.onnx_opset_version()
    return next(opset for opset in range(known, 0, -1) if _runs(opset))


def _runs(opset: int) -> bool:
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "nothing", [x], [y])
    imports = [helper.make_opsetid("", opset)]
    version = helper.find_min_ir_version_for(imports)
    model = helper.make_model(graph, opset_imports=imports, ir_version=version)
    try:
        create_session(model.SerializeToString())
    except Exception:  # onnxruntime's errors have no class of their own in common
        return False
    return True


def create_session(file: Path | bytes, threads: int = 0) -> onnxruntime.InferenceSession:
    """A session with onnxruntime's default optimizations. 0 threads: one per core."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what goes wrong is raised
    options.intra_op_num_threads = threads
    # its threads would go on turning, and torch has its turn in between
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    content = file if isinstance(file, bytes) else str(file)
    return onnxruntime.InferenceSession(content, options, providers=PROVIDERS)


def run(
    session: onnxruntime.InferenceSession, feed: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """All outputs by name, of those inputs that the file has."""
    names = [output.name for output in session.get_outputs()]
    used_inputs = {value.name: feed[value.name] for value in session.get_inputs()}
    return dict(zip(names, session.run(names, used_inputs), strict=True))
