"""The values of the regression bins, known for every PicoDet whether a file holds them or not.

ppdet sets them to 0 .. reg_max and never trains them, and deployments that decode raw heads use
the integers (deploy/python/picodet_postprocess.py of PaddleDetection). A checkpoint may hold other
values for one reason: ppdet's EMA includes constants (ppdet/optimizer/ema.py). It starts from zero,
its bias correction is too large, by 1.00012 between a hundred steps and 45,000, and it sums in
float32, where a bin settles up to 1e-4 away: after 100,000 steps 3 is 3.000298. A constant has one
such sequence of values, so an EMA can be distinguished from a tensor that is wrong by as much.
"""

from functools import cache

import numpy as np

DECAY = 0.9998  # of every config of PicoDet, reached by (1 + step) / (10 + step)
STEPS = 100_000  # after these neither the EMA nor its correction changes
# Relative: four units in the last place. A division may be done as a product with the inverse.
ROUNDING = 2.0**-21

DEFAULT_BINS_REASON = "the values of the bins, which the file does not store: 0, 1, 2 .."


def exact_bins(count: int) -> np.ndarray:
    """0 .. reg_max, [count] float32."""
    return np.arange(count, dtype=np.float32)


def describe_bins(values: np.ndarray) -> str | None:
    """A description of expected values; None for values that no training of ppdet produces.

    values: [reg_max + 1], of a model or a file.
    """
    exact = exact_bins(len(values))
    if np.array_equal(values, exact):
        return f"0 .. {len(exact) - 1}"
    if not np.isfinite(values).all():
        return None
    base, description = tuple(exact.tolist()), f"0 .. {len(exact) - 1}, as ppdet's EMA stores them"
    for _ in range(2):  # the constants of a fine-tuned model went through the EMA twice
        ema_values = _ema_values(base)
        with np.errstate(invalid="ignore", divide="ignore"):
            close = (np.abs(ema_values - values) <= ROUNDING * np.abs(ema_values)).all(axis=1)
        if close.any():
            return description
        base, description = tuple(ema_values[-1].tolist()), description + ", twice"
    return None


def notes(values: np.ndarray) -> tuple[str, ...]:
    """A note for the report if the values [reg_max + 1] are unexpected, else nothing."""
    if describe_bins(values) is not None:
        return ()
    exact = exact_bins(len(values))
    worst = int(np.abs(values - exact).argmax())
    return (
        f"the values of the bins (head.integral.project) are neither 0 .. {len(exact) - 1} nor "
        f"ppdet's EMA of them: {worst} is {values[worst]:.9g}. Boxes are decoded with the stored "
        "values; deployments that decode raw heads use the integers",
    )


@cache
def _ema_values(constants: tuple[float, ...]) -> np.ndarray:
    """ppdet's EMA of these constants after 1 .. STEPS steps: [STEPS, bins] float32."""
    constant = np.array(constants, np.float32)
    values = np.empty((STEPS, len(constant)), np.float32)
    ema, corrections = np.zeros_like(constant), np.empty((STEPS, 1), np.float32)
    for step in range(STEPS):
        decay = min(DECAY, (1 + step) / (10 + step))
        # two products and a sum, each rounded, as in Paddle
        ema = np.float32(decay) * ema + np.float32(1 - decay) * constant
        values[step] = ema
        corrections[step] = 1 - decay ** (step + 1)
    return values / corrections
