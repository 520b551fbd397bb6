"""Records PaddleDetection's settings of parameters and their initial values.

    PYTHONPATH=. .venv-paddle/bin/python -m scripts.record.parameters

makes tests/golden/parameters.npz. For each architecture of picodet/zoo/architectures.py it holds
`NAME/names`, ppdet's names of the parameters in their order (of two the first), and `NAME/facts`,
a row for each:

- whether it is trained (0 or 1), its own L2 decay (NaN: the optimizer's), the factor of its
  learning rate;
- mean, standard deviation and greatest magnitude in a new model.

And `NAME/stepped`, in float64: the value of each parameter, initially 1, after ppdet's optimizer
made the three steps of STEPS.
"""

import math
from pathlib import Path

import numpy as np
import paddle
from ppdet.optimizer import OptimizerBuilder

from picodet.alignment.paddle_side import model
from picodet.zoo.architectures import VARIANTS

OUTPUT = Path(__file__).parents[2] / "tests" / "golden" / "parameters.npz"
SEED = 6
STEPS = ((0.4, 0.5), (0.1, -0.25), (0.2, 1.0))  # learning rate, and gradient of every value


def parameter_facts(parameter: paddle.Tensor) -> tuple[float, ...]:
    """The row of facts of a parameter."""
    decay = math.nan if parameter.regularizer is None else parameter.regularizer._coeff
    values = parameter.numpy().astype(np.float64)
    return (
        float(parameter.trainable and not parameter.stop_gradient),
        decay,
        parameter.optimize_attr["learning_rate"],
        values.mean(),
        values.std(),
        np.abs(values).max(),
    )


def weights_after_steps(detector: paddle.nn.Layer) -> np.ndarray:
    """The first value of each parameter after STEPS, [P] float64. Changes the detector."""
    model.convert_to_float64(detector)
    parameters = detector.parameters()
    for parameter in parameters:
        parameter.set_value(np.ones(parameter.shape))
    build = OptimizerBuilder(
        regularizer={"type": "L2", "factor": 4e-5}, optimizer={"type": "Momentum", "momentum": 0.9}
    )
    optimizer = build(STEPS[0][0], detector)
    for lr, gradient in STEPS:
        optimizer.set_lr(lr)
        sum(gradient * parameter.sum() for parameter in parameters).backward()
        optimizer.step()
        optimizer.clear_grad()
    return np.array([parameter.numpy().flat[0] for parameter in parameters])


def main() -> None:
    """Write the recording."""
    recorded: dict[str, np.ndarray] = {}
    for config in VARIANTS:
        paddle.seed(SEED)
        detector = model.build(config)
        parameters = dict(detector.named_parameters())
        recorded[f"{config.name}/names"] = np.array([model.canonical_name(n) for n in parameters])
        rows = [parameter_facts(parameter) for parameter in parameters.values()]
        recorded[f"{config.name}/facts"] = np.array(rows, dtype=np.float32)
        recorded[f"{config.name}/stepped"] = weights_after_steps(detector)
    np.savez_compressed(OUTPUT, allow_pickle=False, **recorded)


if __name__ == "__main__":
    main()
