"""A recording's tensors for a run of ours."""

from dataclasses import dataclass

import torch
from torch import Tensor

from picodet.alignment.index import Key
from picodet.alignment.paired import PairedCall, Pairing
from picodet.alignment.recording import Recording

KEPT = 12  # tensors at hand: those that several runs ask for one after the other


class Recorded:
    """The reference's tensors by our layers' calls."""

    def __init__(self, recording: Recording, pairing: Pairing) -> None:
        self.recording = recording
        self.pairing = pairing
        self.calls: dict[tuple[str, int], PairedCall] = {
            (call.path, call.number): call for call in pairing.calls
        }
        self._recent: dict[Key, Tensor] = {}

    def tensor(self, key: Key) -> Tensor:
        """All values. Raises RecordingError where a summary has samples only."""
        found = self._recent.pop(key, None)
        if found is None:
            found = torch.from_numpy(self.recording.tensor(key))
        self._recent[key] = found
        if len(self._recent) > KEPT:
            del self._recent[next(iter(self._recent))]
        return found

    def samples(self, key: Key) -> tuple[Tensor, Tensor]:
        """Flat positions [n] and the values there [n]."""
        positions, values = self.recording.samples(key)
        return torch.from_numpy(positions), torch.from_numpy(values)


@dataclass(frozen=True)
class Feed:
    """Hands the recorded tensors to a run, in the run's own precision."""

    recorded: Recorded
    dtype: torch.dtype

    def inputs(self, path: str, number: int) -> list[Tensor | None]:
        call = self.recorded.calls.get((path, number))
        return self._tensors(call.inputs) if call else []

    def outputs(self, path: str, number: int) -> list[Tensor | None]:
        call = self.recorded.calls.get((path, number))
        return self._tensors(call.outputs) if call else []

    def _tensors(self, keys: tuple[Key | None, ...]) -> list[Tensor | None]:
        return [None if k is None else self.recorded.tensor(k).to(self.dtype) for k in keys]
