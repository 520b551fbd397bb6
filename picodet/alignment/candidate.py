"""Whatever is held against a recording: a model of ours, or an export of one."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from picodet.alignment.checks.export_postprocess import OwnEnding
from picodet.alignment.checks.layers import Moment, moments
from picodet.alignment.checks.weights import compare_weights
from picodet.alignment.diagnosis.replay import CallId, Suspect, suspects
from picodet.alignment.pairing.pairs import Pairing
from picodet.alignment.recording.reader import Recording
from picodet.alignment.reference_tensors import ReferenceTensors
from picodet.alignment.result import Rung
from picodet.alignment.tolerance import Tolerance
from picodet.models.picodet import PicoDet


class Compared(Protocol):
    """What is compared makes all that is compared; our own model beside it shows the noise."""

    @property
    def model(self) -> PicoDet:
        """A model of ours with the same weights."""

    @property
    def classes(self) -> tuple[str, ...] | None:
        """Their names, where the file says them."""

    def check(self, recording: Recording) -> None:
        """Raises AlignmentError where it cannot be fed what the reference was."""

    def pairing(self, pairing: Pairing) -> Pairing:
        """Less what is not there to be compared: between two layers that were folded into one."""

    def weights(self, recording: Recording, pairing: Pairing, tolerance: Tolerance) -> Rung:
        """Held against the reference's."""

    def moments(
        self, model: PicoDet, recorded: ReferenceTensors, images: Tensor
    ) -> Iterator[Moment]:
        """All layers, one after the other. `model` is ours in the recording's precision."""

    def suspects(
        self, model: PicoDet, images: Tensor, recorded: ReferenceTensors, wanted: Iterable[CallId]
    ) -> Mapping[CallId, Suspect]:
        """Guilty layers, to be asked once more."""

    def ending(self, recorded: ReferenceTensors, images: Tensor | None) -> OwnEnding | None:
        """What it does behind its heads itself; None where that is done by us."""


@dataclass(frozen=True)
class TorchModel:
    """A model of ours."""

    model: PicoDet
    classes: tuple[str, ...] | None = None

    def check(self, recording: Recording) -> None:
        return

    def pairing(self, pairing: Pairing) -> Pairing:
        return pairing

    def weights(self, recording: Recording, pairing: Pairing, tolerance: Tolerance) -> Rung:
        return compare_weights(self.model.state_dict(), recording, pairing, tolerance)

    def moments(
        self, model: PicoDet, recorded: ReferenceTensors, images: Tensor
    ) -> Iterator[Moment]:
        return moments(model, recorded, images)

    def suspects(
        self, model: PicoDet, images: Tensor, recorded: ReferenceTensors, wanted: Iterable[CallId]
    ) -> Mapping[CallId, Suspect]:
        return suspects(model, images, recorded, wanted)

    def ending(self, recorded: ReferenceTensors, images: Tensor | None) -> OwnEnding | None:
        return None
