"""Whatever is held against a recording: a model of ours, or an export of one."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from picodet.alignment.checks.export_postprocess import ExportedPostprocess
from picodet.alignment.checks.layers import LayerSnapshot, snapshots
from picodet.alignment.checks.weights import compare_weights
from picodet.alignment.diagnosis.replay import CallId, FailingLayer, failing_layers
from picodet.alignment.pairing.pairs import Pairing
from picodet.alignment.recording.reader import Recording
from picodet.alignment.reference_tensors import ReferenceTensors
from picodet.alignment.result import Stage
from picodet.alignment.tolerance import Tolerance
from picodet.models.picodet import PicoDet


class Candidate(Protocol):
    """What is compared makes all that is compared; our own model beside it shows the noise."""

    @property
    def model(self) -> PicoDet:
        """A model of ours with the same weights."""

    @property
    def classes(self) -> tuple[str, ...] | None:
        """Their names, where the file says them."""

    def check_input(self, recording: Recording) -> None:
        """Raises AlignmentError where it cannot be fed what the reference was."""

    def comparable_pairing(self, pairing: Pairing) -> Pairing:
        """Less what is not there to be compared: between two layers that were folded into one."""

    def weights_stage(self, recording: Recording, pairing: Pairing, tolerance: Tolerance) -> Stage:
        """Held against the reference's."""

    def snapshots(
        self, model: PicoDet, recorded: ReferenceTensors, images: Tensor
    ) -> Iterator[LayerSnapshot]:
        """All layers, one after the other. `model` is ours in the recording's precision."""

    def failing_layers(
        self, model: PicoDet, images: Tensor, recorded: ReferenceTensors, wanted: Iterable[CallId]
    ) -> Mapping[CallId, FailingLayer]:
        """Guilty layers, to be asked once more."""

    def postprocess(
        self, recorded: ReferenceTensors, images: Tensor | None
    ) -> ExportedPostprocess | None:
        """What it does behind its heads itself; None where that is done by us."""


@dataclass(frozen=True)
class TorchModel:
    """A model of ours."""

    model: PicoDet
    classes: tuple[str, ...] | None = None

    def check_input(self, recording: Recording) -> None:
        return

    def comparable_pairing(self, pairing: Pairing) -> Pairing:
        return pairing

    def weights_stage(self, recording: Recording, pairing: Pairing, tolerance: Tolerance) -> Stage:
        return compare_weights(self.model.state_dict(), recording, pairing, tolerance)

    def snapshots(
        self, model: PicoDet, recorded: ReferenceTensors, images: Tensor
    ) -> Iterator[LayerSnapshot]:
        return snapshots(model, recorded, images)

    def failing_layers(
        self, model: PicoDet, images: Tensor, recorded: ReferenceTensors, wanted: Iterable[CallId]
    ) -> Mapping[CallId, FailingLayer]:
        return failing_layers(model, images, recorded, wanted)

    def postprocess(
        self, recorded: ReferenceTensors, images: Tensor | None
    ) -> ExportedPostprocess | None:
        return None
