"""What a file states of its image's normalization, and what its graph does: one preprocessing."""

from dataclasses import replace

from picodet.converter.configure import FileHints
from picodet.graphs.passes.normalization import Normalization

DEFAULTS_NOTE = "mean, std and interp are ppdet's defaults: the file does not state them"
UNSCALED_NOTE = (
    "its settings have no step that scales the image to 0 .. 1, and the graph does not do it "
    "either: the model gets values from 0 to 255"
)


def add_normalization(
    hints: FileHints, normalization: Normalization | None
) -> tuple[FileHints, str | None]:
    """The hints with what the graph itself does to its image, and a note on the numbers."""
    stated = hints.preprocessing
    if normalization is None:
        if stated is None:
            return hints, DEFAULTS_NOTE
        return hints, None if stated.is_scale or stated.unsupported else UNSCALED_NOTE
    if stated is not None and stated.unsupported:
        return hints, "the graph normalizes its image: that is taken out of it, and has to be done"
    found = normalization.after(stated)
    values = "0 to 1" if found.is_scale else "0 to 255"
    interp = "" if stated else f"; interp {found.interp} is assumed"
    return replace(hints, preprocessing=found), (
        "the graph normalizes its image: that is taken out of it, and done before it, by mean "
        f"{list(found.mean)} and std {list(found.std)} of values from {values}{interp}"
    )
