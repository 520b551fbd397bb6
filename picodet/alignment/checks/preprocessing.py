"""The preprocessing stage: decode, color, resize, normalize, each step's array bit for bit.

Except a resize that was recorded with other kernels, see resize_kernels.py: the steps after it then
start from the reference's bytes.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from picodet.alignment.checks.resize_kernels import (
    describe_difference,
    explain_mismatch,
    same_kernels,
)
from picodet.alignment.recording.index import PreprocessingSettings, content_key
from picodet.alignment.recording.reader import Recording
from picodet.alignment.result import UNKNOWN_CAUSE, Finding, Stage, Verdict
from picodet.config import ModelConfig, Preprocessing, ResizeKernels
from picodet.data import preprocess
from picodet.data.resize_kernels import INTERP_NAMES, use_kernels
from picodet.errors import RecordingError
from picodet.graphs.operators import TensorKey

STAGE_NAME = "preprocessing"
# the steps' names in recordings, and in reports
STEP_LABELS = {
    "decode": "decode",
    "colour": "color",
    "resize": "resize",
    "normalise": "normalize",
}


@dataclass(frozen=True)
class StepsResult:
    """The outcome of the steps: what differs, or how the kernels differ."""

    findings: tuple[Finding, ...] = ()
    kernels: str = ""  # how much they differ, where they are not the same
    conclusive: bool = True  # whether the recording holds enough to decide


def compare_preprocessing(
    config: ModelConfig,
    recording: Recording,
    probe_findings: tuple[Finding, ...],
    evidence: str,
    probe_kernels: str = "",
) -> Stage:
    """Compare picodet's preprocessing of the recorded image with the model's settings, by step.

    probe_findings: of the probe image under all interps, for which every reference has an answer;
    `evidence` says whose it is, `probe_kernels` how much its kernels differ from picodet's.
    """
    findings = list(probe_findings)
    if recording.index.settings is not None:
        findings += _compare_settings(config, recording.index.settings)
    summary_parts = [f"all five interps on the probe image, {evidence}"]
    if probe_kernels:
        summary_parts[0] += f" ({probe_kernels})"
    conclusive = True
    if recording.index.steps:
        steps_result = _compare_steps(config, recording)
        findings += steps_result.findings
        conclusive = steps_result.conclusive
        names = [STEP_LABELS[step.name] for step in recording.index.steps]
        if steps_result.kernels:
            names.remove("resize")
        steps = ", ".join(names)
        summary_parts.insert(
            0, f"{steps} equal bit for bit" if not findings else f"{steps} compared"
        )
        if steps_result.kernels:
            summary_parts.insert(1, steps_result.kernels)
    verdict: Verdict = "differs" if findings else "aligned" if conclusive else "not compared"
    return Stage(STAGE_NAME, verdict, "; ".join(summary_parts), tuple(findings))


def _compare_settings(config: ModelConfig, settings: PreprocessingSettings) -> list[Finding]:
    own = {"size": config.input_size, **vars(config.preprocessing)}
    return [
        Finding(f"settings: {name}", f"{own[name]}", f"{value}")
        for name, value in vars(settings).items()
        if own[name] != value
    ]


def recorded_image(recording: Recording) -> bytes:
    """The encoded image. Raises RecordingError where there is none."""
    if recording.index.image is None:
        raise RecordingError(f"{recording.path}: the recording has no image; record with --image")
    return recording.tensor(recording.index.image).tobytes()


def preprocessing_steps(
    encoded: bytes, config: ModelConfig, kernels: ResizeKernels | None = None
) -> dict[str, np.ndarray]:
    """The array after each step, in the reference's order: color conversion before resize.

    kernels: instead of the model's.
    """
    numbers = replace(config.preprocessing, resize=kernels or config.preprocessing.resize)
    image = preprocess.decode(encoded, "the recorded image")
    with use_kernels(numbers.resize):
        resized = preprocess.resize_and_pad(image, config.input_size, numbers)
    array, _ = preprocess.preprocess(image, config.input_size, numbers)
    return {
        "decode": image,
        "colour": image[..., ::-1],
        "resize": resized[..., ::-1],
        "normalise": array,
    }


INCONCLUSIVE = "resized by another kernel, whose output the summary lacks; record it again"


def _compare_steps(config: ModelConfig, recording: Recording) -> StepsResult:
    """Report the first step that differs; those after it differ as a consequence."""
    arrays = preprocessing_steps(recorded_image(recording), config)
    kernels = ""
    for step in recording.index.steps:
        info = recording.index.tensors[step.key]
        array = arrays[step.name]
        if step.name == "resize":  # ppdet has the same bytes as floats
            array = array.astype(info.dtype)
        if content_key(array) == step.key:
            continue
        reason = ""
        if step.name == "resize" and not _same_kernels(config, recording):
            reference = _resized_by_another_kernel(config, recording, arrays, step.key)
            if isinstance(reference, np.ndarray):
                kernels = describe_difference(arrays["resize"], reference)
                normalized = preprocess.normalize(
                    np.ascontiguousarray(reference[..., ::-1]), config.preprocessing
                )
                arrays |= {"resize": reference, "normalise": normalized}
                continue
            reason = reference
            if not reason:
                return StepsResult((), INCONCLUSIVE, conclusive=False)
        found, expected = (
            f"{list(array.shape)} {array.dtype}",
            f"{list(info.shape)} {info.dtype}",
        )
        if array.shape == info.shape and array.dtype.name == info.dtype:
            found, expected = _worst_value(array, *recording.samples(step.key))
        explained = _explain(step.name, config, arrays, step.key, recording)
        diagnosis = reason if reason and explained == UNKNOWN_CAUSE else explained
        return StepsResult((Finding(STEP_LABELS[step.name], found, expected, diagnosis),))
    return StepsResult(kernels=kernels)


def _same_kernels(config: ModelConfig, recording: Recording) -> bool:
    numbers = config.preprocessing
    return same_kernels(recording.index.kernels, numbers.resize, numbers.interp)


def _resized_by_another_kernel(
    config: ModelConfig, recording: Recording, arrays: dict[str, np.ndarray], key: TensorKey
) -> np.ndarray | str:
    """The reference's bytes if another kernel may have made them, else why that cannot be.

    "" where an old summary, which lists no kernels, has too few values to decide.
    """
    image, size, interp = arrays["colour"], config.input_size, config.preprocessing.interp
    dtype = recording.index.tensors[key].dtype
    if arrays["resize"].dtype != np.uint8:
        return UNKNOWN_CAUSE
    for kernels in ("native", "portable"):
        with use_kernels(kernels):
            resized = preprocess.resize(image, size, interp)
        if content_key(resized.astype(dtype)) == key:
            return resized
    if not recording.has(key):
        positions, values = recording.samples(key)
        return explain_mismatch(image, size, interp, values, positions=positions) or ""
    reference = recording.tensor(key)
    return explain_mismatch(image, size, interp, reference) or reference.astype(np.uint8)


def _worst_value(array: np.ndarray, positions: np.ndarray, values: np.ndarray) -> tuple[str, str]:
    flat = array.ravel()[positions].astype(np.float64)
    distance = np.abs(flat - values)
    worst = int(np.argmax(np.nan_to_num(distance, nan=np.inf)))
    where = [int(n) for n in np.unravel_index(int(positions[worst]), array.shape)]
    count = int((distance > 0).sum())
    return (
        f"{count} of {len(flat)} values differ; at {where}: {flat[worst]:.7g}",
        f"{values[worst]:.7g}",
    )


def _explain(
    name: str,
    config: ModelConfig,
    arrays: dict[str, np.ndarray],
    key: TensorKey,
    recording: Recording,
) -> str:
    """The known cause that turns the array of a step into the reference's."""
    for what, attempt in _attempts(name, config, arrays):
        if content_key(attempt.astype(recording.index.tensors[key].dtype)) == key:
            return what
    if name == "normalise" and recording.has(key):
        return _fitted_mean_and_std(arrays["resize"], recording.tensor(key), config.preprocessing)
    return UNKNOWN_CAUSE


def _attempts(
    name: str, config: ModelConfig, arrays: dict[str, np.ndarray]
) -> Iterator[tuple[str, np.ndarray]]:
    image, size, numbers = arrays["colour"], config.input_size, config.preprocessing
    if name == "colour":
        yield "red and blue are exchanged: the reference has BGR here", image[..., ::-1]
    elif name == "resize":
        floats = image.astype(np.float32)
        for interp, name_of_interp in enumerate(INTERP_NAMES):
            for kernels in ("native", "portable"):
                with use_kernels(kernels):
                    bytewise = preprocess.resize(image, size, interp)
                    of_floats = preprocess.resize(floats, size, interp)
                other = f"interp {numbers.interp}; the reference's is {interp} ({name_of_interp})"
                yield other if interp != numbers.interp else f"{kernels} kernels", bytewise
                yield (
                    f"the reference resizes floats, not bytes, with interp {interp} "
                    f"({name_of_interp})",
                    of_floats,
                )
        yield "red and blue are exchanged", arrays["resize"][..., ::-1]
    elif name == "normalise":
        rgb = arrays["resize"]
        planes = rgb.transpose(2, 0, 1).astype(np.float32)
        mean, std = (np.array(values)[:, None, None] for values in (numbers.mean, numbers.std))
        standard = Preprocessing()
        yield "red and blue are exchanged", preprocess.normalize(rgb, numbers)
        yield "the reference scales to 0 .. 1 without mean and std", planes * np.float32(1 / 255)
        centered = (planes - mean).astype(np.float32)  # rounded after each step, as ppdet does
        yield "the reference applies mean and std to values 0 .. 255", centered / std
        yield (
            f"mean {numbers.mean} and std {numbers.std}; the reference's are {standard.mean} and "
            f"{standard.std}",
            preprocess.normalize(np.ascontiguousarray(rgb[..., ::-1]), standard),
        )


def _fitted_mean_and_std(rgb: np.ndarray, reference: np.ndarray, numbers: Preprocessing) -> str:
    """Mean and std of the reference by least squares, where they differ from the model's."""
    texts = []
    for i, channel in enumerate("RGB"):
        values = rgb[..., i].ravel().astype(np.float64) / 255
        slope, offset = np.polyfit(values, reference[i].ravel(), 1)
        mean, std = -offset / slope, 1 / slope
        if abs(mean - numbers.mean[i]) > 1e-5 or abs(std - numbers.std[i]) > 1e-5:
            texts.append(
                f"{channel}: mean {numbers.mean[i]:.5g} and std {numbers.std[i]:.5g}, "
                f"the reference's {mean:.5g} and {std:.5g}"
            )
    return "; ".join(texts) or UNKNOWN_CAUSE
