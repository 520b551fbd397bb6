"""onnxruntime: the newest opset that it runs, sessions and their outputs."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from picodet.errors import PicoDetError
from picodet.system.ort import onnxruntime

PROVIDERS = ["CPUExecutionProvider"]


def check_opset(opset: int) -> None:
    """Raise PicoDetError where the installed onnx and onnxruntime do not support the opset."""
    if opset > (newest := newest_opset()):
        raise PicoDetError(
            f"opset {opset}: the installed onnxruntime {onnxruntime.__version__} and onnx "
            f"{onnx.__version__} go up to {newest}: pip install --upgrade onnx onnxruntime"
        )


def newest_opset() -> int:
    """The newest opset that onnx can write and onnxruntime run, found by trying."""
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
    except Exception:  # onnxruntime's errors have no common class
        return False
    return True


def create_session(file: Path | bytes, threads: int = 0) -> onnxruntime.InferenceSession:
    """A CPU session with onnxruntime's default optimizations. 0 threads: one per core."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # errors are raised as exceptions
    options.intra_op_num_threads = threads
    # its threads would spin while torch computes
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    content = file if isinstance(file, bytes) else str(file)
    return onnxruntime.InferenceSession(content, options, providers=PROVIDERS)


def run(
    session: onnxruntime.InferenceSession, feed: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """All outputs by name; inputs in `feed` that the file does not have are ignored."""
    names = [output.name for output in session.get_outputs()]
    used_inputs = {value.name: feed[value.name] for value in session.get_inputs()}
    return dict(zip(names, session.run(names, used_inputs), strict=True))
