"""Records what Paddle itself reads in inference folders. Run in Paddle's environment.

Arguments: a JSON list of the programs' paths without suffix, each with whether it is a .pdmodel;
and the folder that 0.npz, 1.npz and so on are written to.
"""

import json
import sys
from contextlib import nullcontext


def main(programs, folder):
    import numpy as np
    import paddle

    paddle.enable_static()
    for i, (prefix, old) in enumerate(json.loads(programs)):
        with paddle.pir_utils.OldIrGuard() if old else nullcontext():
            executor = paddle.static.Executor(paddle.CPUPlace())
            program, _, fetches = paddle.static.load_inference_model(prefix, executor)
            block = program.global_block()
            facts, names = (old_facts if old else new_facts)(block, fetches)
            find = paddle.static.global_scope().find_var
            arrays = {name: np.array(find(name).get_tensor()) for name in names}
        np.savez(f"{folder}/{i}.npz", **{"facts@": json.dumps(facts)}, **arrays)


def old_facts(block, fetches):
    operators = [[op.type, op.input_arg_names, op.output_arg_names] for op in block.ops]
    weights = [variable.name for variable in block.vars.values() if variable.persistable]
    names = [name for name in weights if name not in ("feed", "fetch")]
    return {"operators": operators, "fetches": [variable.name for variable in fetches]}, names


def new_facts(block, fetches):
    sources, operators, names = {}, [], []
    for i, op in enumerate(block.ops):
        operands = [value for value in op.operands_source() if value.initialized()]
        operand_sources = [sources[value.id] for value in operands]
        results = [(j, value) for j, value in enumerate(op.results()) if value.initialized()]
        sources.update({value.id: (i, j) for j, value in results})
        operators.append([op.name(), operand_sources, op.attrs().get("struct_name", "/")])
        names += [op.attrs()["parameter_name"]] if op.name() == "builtin.parameter" else []
    return {"operators": operators, "fetches": [sources[value.id] for value in fetches]}, names


if __name__ == "__main__":
    main(*sys.argv[1:])
