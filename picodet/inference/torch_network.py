"""A PicoDet in torch, on the CPU or a GPU."""

import torch

from picodet.decoding import decode
from picodet.errors import PicoDetError
from picodet.inference.forms import finite
from picodet.inference.network import Fed, Spec
from picodet.models.picodet import PicoDet
from picodet.postprocess import Candidates


class TorchNetwork:
    """Runs a model as it is: in the precision and on the device of its weights.

    notes: what was assumed when it was read.
    """

    runtime = "torch"

    def __init__(self, model: PicoDet, notes: tuple[str, ...] = ()) -> None:
        if model.training:
            raise PicoDetError("the model is in training mode; call model.eval() first")
        config = model.config
        self.model = model
        self.weight = next(model.parameters())
        self.spec = Spec(
            name=config.name,
            form="boxes",
            input_size=config.input_size,
            preprocessing=config.preprocessing,
            classes=config.classes,
            num_classes=len(config.classes),
            notes=notes,
        )

    def __call__(self, fed: Fed) -> list[Candidates]:
        with torch.inference_mode():
            images = torch.from_numpy(fed.images).to(self.weight)
            boxes, scores = decode(self.model(images), self.model.head.integral)
        return finite(boxes.cpu().numpy(), scores.cpu().numpy())

    def close(self) -> None:
        """Nothing was started."""


def on_device(model: PicoDet, device: str) -> PicoDet:
    """The model there. Raises PicoDetError for a device that this machine has not.

    On a GPU convolutions are computed in float32 and always in the same way: cuDNN would otherwise
    take TensorFloat-32, whose scores are off by 1e-3, and try out which way is the fastest.
    """
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.deterministic = True
    try:
        return model.to(device)
    except (RuntimeError, AssertionError) as error:  # torch without CUDA asserts that it has it
        reason = str(error).split("\n")[0]
        raise PicoDetError(f"device {device}: torch cannot use it here: {reason}") from error
