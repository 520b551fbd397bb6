"""EMA weights and raw weights in one state_dict, as mmdet's EMA hook stores them.

The hook (the port's mmdet/core/hook/ema.py) registers a copy of every tensor, `a.b` as `ema_a_b`,
and swaps the two when an epoch ends, before the checkpoint is written: in such a file the EMA
weights have the plain names, and the raw weights of the last step the prefix `ema_`.
"""

from collections.abc import Mapping

import numpy as np

from picodet.errors import CheckpointError

EMA_PREFIX = "ema_"
Arrays = dict[str, np.ndarray]


def split_ema(arrays: Mapping[str, np.ndarray]) -> tuple[Arrays, Arrays]:
    """Split off the `ema_` copies: tensors by name, and the copies by the same names (or none).

    Underscores do not tell where dots were, so the copies' names are derived from the tensors'.
    Raises CheckpointError where copies and tensors do not correspond one to one.
    """
    own = {name: array for name, array in arrays.items() if not name.startswith(EMA_PREFIX)}
    copies = {name: array for name, array in arrays.items() if name.startswith(EMA_PREFIX)}
    if not copies:
        return own, {}
    expected: dict[str, str] = {}
    for name in own:
        copy = EMA_PREFIX + name.replace(".", "_")
        if copy in expected:
            raise CheckpointError(f"{copy}: may be the EMA copy of {expected[copy]} or of {name}")
        expected[copy] = name
    for what, names in (
        ("are missing", expected.keys() - copies.keys()),
        ("match no tensor", copies.keys() - expected.keys()),
    ):
        if names:
            raise CheckpointError(
                f"expected one EMA copy for each of {len(own)} tensors, as mmdet stores them; "
                f"{len(names)} {what}, first {min(names)}"
            )
    for copy, name in expected.items():
        if copies[copy].shape != own[name].shape:
            raise CheckpointError(
                f"{copy} has shape {list(copies[copy].shape)}; expected that of {name}, "
                f"{list(own[name].shape)}"
            )
    return own, {name: copies[copy] for copy, name in expected.items()}
