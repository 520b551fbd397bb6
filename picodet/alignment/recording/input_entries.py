"""The part of an index that says what the network was fed."""

from typing import TypedDict

import numpy as np

from picodet.alignment.recording.network_input import NetworkInput
from picodet.alignment.recording.writer import RecordingWriter
from picodet.graphs.operators import Key


class InputEntries(TypedDict):
    """Fields of index.Index."""

    input: Key
    picture: Key | None
    scale_factor: tuple[float, float]
    kernels: dict[str, str]


def input_entries(writer: RecordingWriter, fed: NetworkInput) -> InputEntries:
    """A summary leaves the array out where preprocessing makes it again of the picture.

    Which it does on every machine only where the kernels of the resize don't matter.
    """
    y, x = fed.scale_factor.tolist()
    picture = None
    if fed.picture is not None:
        picture = writer.add(np.frombuffer(fed.picture, np.uint8), whole=True)
    array = writer.add(fed.array, whole=picture is None or not fed.everywhere)
    return {
        "input": array,
        "picture": picture,
        "scale_factor": (y, x),
        "kernels": dict(fed.kernels),
    }
