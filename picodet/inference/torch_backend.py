"""Runs a PicoDet in torch, on the CPU or a GPU."""

import copy

import torch
from torch import Tensor, nn

from picodet.config import NMSSettings
from picodet.errors import PicoDetError
from picodet.inference.backend import ModelInputs, ModelSpec
from picodet.inference.output_formats import to_candidates
from picodet.models.head import AnyHeadOutput
from picodet.models.picodet import PicoDet
from picodet.ops.decode import decode
from picodet.ops.postprocess import Candidates

DECODE_DTYPES = (torch.float32, torch.float64)  # precise enough for pixels


class TorchBackend:
    """Runs a model in the precision and on the device of its weights.

    notes: what was assumed when it was read. threads: of torch, set for the whole process until
    `close` restores the number; 0 changes nothing. Raises PicoDetError for an unusable model.
    """

    runtime = "torch"

    def __init__(
        self,
        model: PicoDet,
        notes: tuple[str, ...] = (),
        threads: int = 0,
        nms: NMSSettings | None = None,
    ) -> None:
        _check(model)
        config = model.config
        self.threads_before = torch.get_num_threads()
        if threads:
            torch.set_num_threads(threads)
        self.model = model
        self.weight = next(model.parameters())
        self.spec = ModelSpec(
            name=config.name,
            output_format="boxes",
            input_size=config.input_size,
            preprocessing=config.preprocessing,
            classes=config.classes,
            num_classes=len(config.classes),
            nms=nms,
            notes=notes,
        )

    def __call__(self, inputs: ModelInputs) -> list[Candidates]:
        with torch.inference_mode():
            images = torch.from_numpy(inputs.images).to(self.weight)
            boxes, scores = decode_precisely(self.model(images), self.model.head.integral)
        return to_candidates(boxes.cpu().numpy(), scores.cpu().numpy())

    def close(self) -> None:
        """Restore torch's number of threads, which is global."""
        if torch.get_num_threads() != self.threads_before:
            torch.set_num_threads(self.threads_before)


def decode_precisely(output: AnyHeadOutput, integral: nn.Module) -> tuple[Tensor, Tensor]:
    """Boxes [B, A, 4] and scores [B, C, A] as `decode`; outputs in bfloat16 or float16 in float32.

    Boxes need more digits than those have.
    """
    if output.logits[0].dtype in DECODE_DTYPES:
        return decode(output, integral)
    float_output = type(output)(*(tuple(x.float() for x in maps) for maps in output))
    with torch.autocast(output.logits[0].device.type, enabled=False):
        return decode(float_output, copy.deepcopy(integral).float())


def _check(model: PicoDet) -> None:
    """Raise PicoDetError for a model in training mode, with mixed dtypes or without values."""
    training = [name for name, module in model.named_modules() if module.training]
    if training:  # also of one part: its batch norms would use the image's statistics
        where = "the model" if training[0] == "" else training[0]
        raise PicoDetError(f"{where} is in training mode; call model.eval() first")
    tensors = [*model.parameters(), *(t for t in model.buffers() if t.is_floating_point())]
    kinds = {f"{tensor.dtype} on {tensor.device}": tensor for tensor in tensors}
    if len(kinds) > 1:
        raise PicoDetError(
            f"the model's weights are {' and '.join(sorted(kinds))}; one dtype and one device are "
            "expected: model.to('cpu', torch.float32)"
        )
    if tensors[0].is_meta:
        raise PicoDetError("the model's weights are on the device meta, which holds no values")


def move_to_device(model: PicoDet, device: str) -> PicoDet:
    """Move the model to a device. Raises PicoDetError where torch cannot use it here.

    For a GPU it sets two flags of cuDNN for the whole process: convolutions are then computed in
    float32, as TensorFloat-32 makes scores differ by 1e-3, and always by the same algorithm.
    """
    check_device(device)
    if device.startswith("cuda"):
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cudnn.deterministic = True
    return model.to(device)


def check_device(device: str) -> None:
    """Raise PicoDetError where torch cannot use the device here, by adding 1 + 1 on it."""
    try:
        works = torch.ones(1, device=device).add(1).cpu().item() == 2
    except Exception as error:  # each missing backend has its own error class
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise PicoDetError(
            f"device {device}: torch cannot use it here: {reason}. Use cpu, or cuda:1 for "
            "the second of several GPUs"
        ) from error
    if not works:
        raise PicoDetError(f"device {device}: torch computes 1 + 1 wrong on it")
