"""What is compared with a recording: a PyTorch model, or an ONNX export of one."""

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
    """The compared side. Its results are compared; a PyTorch model beside it measures the noise."""

    @property
    def model(self) -> PicoDet:
        """A PyTorch model with the same weights."""

    @property
    def classes(self) -> tuple[str, ...] | None:
        """The names of the classes; None where the file has none."""

    def check_input(self, recording: Recording) -> None:
        """Raise AlignmentError where it does not take the reference's input."""

    def comparable_pairing(self, pairing: Pairing) -> Pairing:
        """The pairing without tensors that this side lacks: those within folded pairs."""

    def weights_stage(self, recording: Recording, pairing: Pairing, tolerance: Tolerance) -> Stage:
        """Its weights against the reference's."""

    def snapshots(
        self, model: PicoDet, recorded: ReferenceTensors, images: Tensor
    ) -> Iterator[LayerSnapshot]:
        """Every call of every layer. `model` is `self.model` in the recording's precision."""

    def failing_layers(
        self, model: PicoDet, images: Tensor, recorded: ReferenceTensors, wanted: Iterable[CallId]
    ) -> Mapping[CallId, FailingLayer]:
        """The wanted guilty layers, ready to be run again by themselves."""

    def postprocess(
        self, recorded: ReferenceTensors, images: Tensor | None
    ) -> ExportedPostprocess | None:
        """Its own post-processing; None where picodet's is used."""


@dataclass(frozen=True)
class TorchModel:
    """A PyTorch model."""

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
