"""Averaged weights beside the others in one state_dict, as mmdet's EMA hooks leave them there.

The hook (the port's mmdet/core/hook/ema.py) registers a copy of every tensor, `a.b` as `ema_a_b`,
and swaps the two when an epoch ends, before the checkpoint is written: in such a file the averages
stand under the own names, and the weights of the last step under `ema_`.
"""

from collections.abc import Mapping

import numpy as np

from picodet.errors import CheckpointError

EMA_PREFIX = "ema_"
Arrays = dict[str, np.ndarray]


def split_ema(arrays: Mapping[str, np.ndarray]) -> tuple[Arrays, Arrays]:
    """The tensors under their own names, and the copies by the same names: all of them or none.

    Underscores do not tell where dots were: names are looked for, not taken apart. Raises
    CheckpointError where copies and tensors do not belong together one to one.
    """
    own = {name: array for name, array in arrays.items() if not name.startswith(EMA_PREFIX)}
    copies = {name: array for name, array in arrays.items() if name.startswith(EMA_PREFIX)}
    if not copies:
        return own, {}
    expected: dict[str, str] = {}
    for name in own:
        copy = EMA_PREFIX + name.replace(".", "_")
        if copy in expected:
            raise CheckpointError(f"{copy} may be the copy of {expected[copy]} or of {name}")
        expected[copy] = name
    for what, names in (
        ("are missing", expected.keys() - copies.keys()),
        ("belong to no tensor", copies.keys() - expected.keys()),
    ):
        if names:
            raise CheckpointError(
                f"copies of {len(own)} tensors are expected beside them, as mmdet keeps them for "
                f"averaging; {len(names)} {what}, first {min(names)}"
            )
    for copy, name in expected.items():
        if copies[copy].shape != own[name].shape:
            raise CheckpointError(
                f"{copy} is of shape {list(copies[copy].shape)}, {name} of {list(own[name].shape)}"
            )
    return own, {name: copies[copy] for copy, name in expected.items()}
