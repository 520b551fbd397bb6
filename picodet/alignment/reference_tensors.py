"""A recording's tensors, by the layers of picodet's model."""

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
CACHE_SIZE = 12  # tensors: several runs read the same ones in turn


class ReferenceTensors:
    """The reference's tensors by the calls of the model's layers."""

    def __init__(self, recording: Recording, pairing: Pairing) -> None:
        self.recording = recording
        self.pairing = pairing
        self.calls: dict[tuple[str, int], PairedCall] = {
            (call.path, call.number): call for call in pairing.calls
        }
        self._cache: dict[TensorKey, Tensor] = {}

    def tensor(self, key: TensorKey) -> Tensor:
        """All values of a tensor. Raises RecordingError where a summary has samples only."""
        found = self._cache.pop(key, None)
        if found is None:
            found = torch.from_numpy(self.recording.tensor(key))
        self._cache[key] = found
        if len(self._cache) > CACHE_SIZE:
            del self._cache[next(iter(self._cache))]
        return found

    def measure_difference(
        self,
        candidate: Tensor,
        key: TensorKey,
        tolerance: Tolerance,
        runs: Sequence[Tensor],
        intermediate_scale: float = 0.0,
        view: View = lambda tensor: tensor,
    ) -> Difference:
        """The model's tensor against the reference's; the differences among `runs` are the noise.

        view: applied to the reference's tensor first; it must keep the order of the values. With a
        summary, the samples and the lowest and highest value are compared.
        """
        if self.recording.has(key):
            return measure_difference(
                candidate,
                view(self.tensor(key)),
                noise_between(*runs),
                tolerance,
                intermediate_scale,
            )
        info = self.recording.index.tensors[key]
        if tuple(candidate.shape) != info.shape:
            return not_comparable(
                f"shape {list(candidate.shape)}, the reference's is {list(info.shape)}"
            )
        if (
            str(candidate.dtype).removeprefix("torch.") != info.dtype
        ):  # samples are stored as float64
            return not_comparable(f"{candidate.dtype}, the reference's is torch.{info.dtype}")
        positions, values = map(torch.from_numpy, self.recording.samples(key))
        ends = torch.tensor([info.low, info.high], dtype=values.dtype)
        reference = view(torch.cat([values, ends])).to(candidate.dtype)

        def sampled(run: Tensor) -> Tensor:
            return torch.cat([run.ravel()[positions], *(end[None] for end in run.aminmax())])

        found = measure_difference(
            sampled(candidate),
            reference,
            noise_between(*map(sampled, runs)),
            tolerance,
            intermediate_scale,
        )
        at = found.index[0] if found.index else len(positions)
        if at >= len(positions):  # the lowest or highest value, whose position is unknown
            return replace(found, index=())
        where = np.unravel_index(int(positions[at]), info.shape)
        return replace(found, index=tuple(map(int, where)))


@dataclass(frozen=True)
class ReferenceFeed:
    """Feeds the recorded tensors to a run, in the precision of the run."""

    recorded: ReferenceTensors
    dtype: torch.dtype

    def inputs(self, path: str, number: int) -> list[Tensor | None]:
        """What the reference's layer took; None where it has no such tensor, [] for no call."""
        call = self.recorded.calls.get((path, number))
        return self._tensors(call.inputs) if call else []

    def outputs(self, path: str, number: int) -> list[Tensor | None]:
        """What the reference's layer returned; None and [] as in `inputs`."""
        call = self.recorded.calls.get((path, number))
        return self._tensors(call.outputs) if call else []

    def _tensors(self, keys: tuple[TensorKey | None, ...]) -> list[Tensor | None]:
        return [None if k is None else self.recorded.tensor(k).to(self.dtype) for k in keys]
