"""A recording's tensors for a run of ours."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from picodet.alignment.pairing.pairs import PairedCall, Pairing
from picodet.alignment.recording.reader import Recording
from picodet.alignment.result import Difference
from picodet.alignment.tolerance import Tolerance, measure_difference, noise_between, not_comparable
from picodet.graphs.operators import TensorKey

View = Callable[[Tensor], Tensor]
CACHE_SIZE = 12  # tensors at hand: those that several runs ask for one after the other


class ReferenceTensors:
    """The reference's tensors by our layers' calls."""

    def __init__(self, recording: Recording, pairing: Pairing) -> None:
        self.recording = recording
        self.pairing = pairing
        self.calls: dict[tuple[str, int], PairedCall] = {
            (call.path, call.number): call for call in pairing.calls
        }
        self._cache: dict[TensorKey, Tensor] = {}

    def tensor(self, key: TensorKey) -> Tensor:
        """All values. Raises RecordingError where a summary has samples only."""
        found = self._cache.pop(key, None)
        if found is None:
            found = torch.from_numpy(self.recording.tensor(key))
        self._cache[key] = found
        if len(self._cache) > CACHE_SIZE:
            del self._cache[next(iter(self._cache))]
        return found

    def measure_difference(
        self,
        ours: Tensor,
        key: TensorKey,
        tolerance: Tolerance,
        runs: Sequence[Tensor],
        intermediate_scale: float = 0.0,
        view: View = lambda tensor: tensor,
    ) -> Difference:
        """Our tensor against the reference's; the differences among `runs` are the noise.

        view: what of the reference's is compared; it leaves the order of the values. Of a summary
        the samples are compared, and the lowest and the highest value.
        """
        if self.recording.has(key):
            return measure_difference(
                ours, view(self.tensor(key)), noise_between(*runs), tolerance, intermediate_scale
            )
        info = self.recording.index.tensors[key]
        if tuple(ours.shape) != info.shape:
            return not_comparable(
                f"shape {list(ours.shape)}, the reference's is {list(info.shape)}"
            )
        if str(ours.dtype).removeprefix("torch.") != info.dtype:  # samples are kept in double
            return not_comparable(f"{ours.dtype}, the reference's is torch.{info.dtype}")
        positions, values = map(torch.from_numpy, self.recording.samples(key))
        ends = torch.tensor([info.low, info.high], dtype=values.dtype)
        reference = view(torch.cat([values, ends])).to(ours.dtype)

        def sampled(run: Tensor) -> Tensor:
            return torch.cat([run.ravel()[positions], *(end[None] for end in run.aminmax())])

        found = measure_difference(
            sampled(ours),
            reference,
            noise_between(*map(sampled, runs)),
            tolerance,
            intermediate_scale,
        )
        at = found.index[0] if found.index else len(positions)
        if at >= len(positions):  # the lowest or the highest value: it is not known where that was
            return replace(found, index=())
        where = np.unravel_index(int(positions[at]), info.shape)
        return replace(found, index=tuple(map(int, where)))


@dataclass(frozen=True)
class ReferenceFeed:
    """Hands the recorded tensors to a run, in the run's own precision."""

    recorded: ReferenceTensors
    dtype: torch.dtype

    def inputs(self, path: str, number: int) -> list[Tensor | None]:
        call = self.recorded.calls.get((path, number))
        return self._tensors(call.inputs) if call else []

    def outputs(self, path: str, number: int) -> list[Tensor | None]:
        call = self.recorded.calls.get((path, number))
        return self._tensors(call.outputs) if call else []

    def _tensors(self, keys: tuple[TensorKey | None, ...]) -> list[Tensor | None]:
        return [None if k is None else self.recorded.tensor(k).to(self.dtype) for k in keys]
