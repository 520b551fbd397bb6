"""Compare a model with a recorded reference in all stages."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from picodet.alignment.candidate import Candidate, TorchModel
from picodet.alignment.checks.class_names import compare_class_names
from picodet.alignment.checks.export_postprocess import (
    compare_exported_decoding,
    compare_exported_nms,
)
from picodet.alignment.checks.heads_and_decoding import (
    compare_decoding,
    compare_heads,
    make_head_output,
)
from picodet.alignment.checks.layers import LayersResult, compare_layers
from picodet.alignment.checks.nms import compare_nms
from picodet.alignment.checks.preprocessing import (
    compare_preprocessing,
    preprocessing_steps,
    recorded_image,
)
from picodet.alignment.checks.probes import ProbeResults, run_probes
from picodet.alignment.checks.score_epsilon import ScoreAdjustment, adds_epsilon
from picodet.alignment.diagnosis.diagnose import diagnose
from picodet.alignment.pairing.by_name import pair_by_name
from picodet.alignment.pairing.by_structure import pair_by_structure
from picodet.alignment.recording.index import content_key
from picodet.alignment.recording.reader import Recording
from picodet.alignment.reference_tensors import ReferenceTensors
from picodet.alignment.report.formatting import times_noise
from picodet.alignment.result import Comparison, Finding, Stage, worst
from picodet.alignment.tolerance import FLOAT64_TOLERANCE, NOISE_MULTIPLE, Tolerance
from picodet.config import ModelConfig, ResizeKernels
from picodet.converter.names.name_tables import name_table
from picodet.errors import AlignmentError
from picodet.files import sha256
from picodet.graphs.weights import INTEGRAL_PROJECT
from picodet.models.picodet import PicoDet
from picodet.system.versions import cpu, versions


def align(
    model: PicoDet | Candidate,
    model_path: Path,
    recording: Recording,
    tolerance: float | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    notes: tuple[str, ...] = (),
) -> Comparison:
    """Compare a model with a recording, stage by stage.

    tolerance: a part of each layer's scale that replaces the noise-based tolerance. progress is
    called with the number of compared calls and of all. notes: assumptions about the model's file,
    for the report. The model is not changed; torch's number of threads is, while layers run, and
    is set back. Raises AlignmentError where the two cannot be compared, RecordingError for a
    damaged recording.
    """
    candidate = TorchModel(model) if isinstance(model, PicoDet) else model
    candidate.check_input(recording)
    index, model = recording.index, candidate.model
    allowed, tolerance_sentence = _choose_tolerance(index.precision, tolerance)
    config = model.config
    if index.operators:
        pairing = pair_by_structure(config, index)
    else:
        pairing = pair_by_name(index, name_table(config.backbone, config.neck, config.head))
    if not pairing.calls:
        raise AlignmentError(
            f"{recording.path}: no layer of the recording has a partner in the model; expected a "
            "recording of the same architecture"
        )
    recorded = ReferenceTensors(recording, candidate.comparable_pairing(pairing))
    weights = candidate.weights_stage(recording, pairing, allowed)
    # the probes are answered in float32, whatever the recording's precision
    float32_tolerance = allowed if tolerance else Tolerance(NOISE_MULTIPLE)
    integral = model.head.integral
    has_own_bins = (
        INTEGRAL_PROJECT in {finding.name for finding in weights.findings} - pairing.weights.keys()
    )
    own_bins = integral.project if has_own_bins else None
    probe_results = run_probes(config.head, integral, recording, float32_tolerance, own_bins)
    preprocessing = compare_preprocessing(
        model.config,
        recording,
        probe_results.preprocessing,
        probe_results.evidence,
        probe_results.kernels,
    )
    summary = "; ".join((preprocessing.summary, *notes))
    preprocessing = replace(preprocessing, summary=summary)
    images = _images(model.config, recording)
    if index.precision == "float64":
        model = copy.deepcopy(model).double()
    result = LayersResult((), pairing.unpaired, (), "")
    if images is not None:
        calls = len(pairing.calls)
        result = compare_layers(
            model,
            recorded,
            images,
            allowed,
            lambda done: progress(done, calls),
            candidate.snapshots,
        )
        layers = diagnose(
            *(result.layers, model, images, recorded, allowed, weights.findings),
            candidate.failing_layers,
        )
        result = result._replace(layers=layers)
    return Comparison(
        reference=f"{index.file} ({index.kind}, {index.precision})",
        model=str(model_path),
        stages=(
            weights,
            preprocessing,
            _layers_stage(result),
            *_output_stages(candidate, model, images, result, recorded, allowed, probe_results),
        ),
        layers=result.layers,
        unpaired=result.unpaired,
        tolerance=tolerance_sentence,
        environment=_environment(recording, model_path),
    )


def _output_stages(
    candidate: Candidate,
    model: PicoDet,
    images: Tensor | None,
    result: LayersResult,
    recorded: ReferenceTensors,
    allowed: Tolerance,
    probe_results: ProbeResults,
) -> Iterator[Stage]:
    """Heads, decoding and NMS: an export's own as far as it goes, then picodet's."""
    heads = [make_head_output(model.config.head, maps) for maps in result.heads]
    exported = candidate.postprocess(recorded, images)
    index = recorded.recording.index
    adjustment = ScoreAdjustment(
        candidate_adds=exported.adds_epsilon if exported else True,
        reference_adds=adds_epsilon(index.operators),
        squared=model.config.head == "pico_head_v2"
        and (exported is not None or index.kind == "onnx"),
    )
    exported_heads = exported.heads() if exported and heads else None
    stage = compare_heads(heads, recorded, allowed, adjustment, exported_heads)
    yield compare_class_names(stage, candidate.classes, index.classes)
    if exported and exported.decode and not heads:
        text = "the model's forward pass failed"
        yield from (Stage(name, "not compared", text) for name in ("decoding", "NMS"))
        return
    if exported and exported.decode:
        yield compare_exported_decoding(
            exported.decode, model, heads, recorded, allowed, probe_results.decoding, adjustment
        )
    else:
        # picodet decodes, and adds the epsilon
        squared = adjustment.squared and index.kind == "onnx"
        adjustment = replace(adjustment, candidate_adds=True, squared=squared)
        probe_findings, evidence = probe_results.decoding, probe_results.evidence
        yield compare_decoding(
            model, heads, recorded, allowed, probe_findings, evidence, adjustment
        )
    if exported and exported.decode and exported.run_nms:
        evidence = probe_results.evidence
        yield compare_exported_nms(
            exported.run_nms, exported.decode, heads, recorded, probe_results.nms, evidence
        )
    else:
        yield compare_nms(model, heads, recorded, probe_results.nms, probe_results.evidence)


def _choose_tolerance(precision: str, chosen: float | None) -> tuple[Tolerance, str]:
    if chosen is not None:
        return Tolerance(scale_factor=chosen), (
            f"--tolerance {chosen:g} was chosen: every error may be {chosen:g} of its layer's "
            "greatest magnitude, whatever the noise"
        )
    if precision == "float64":
        return Tolerance(scale_factor=FLOAT64_TOLERANCE), (
            f"Both sides computed in float64: every error may be {FLOAT64_TOLERANCE:g} of its "
            "layer's greatest magnitude. The noise is the difference that another order of "
            "additions makes"
        )
    return Tolerance(NOISE_MULTIPLE), (
        "The noise of each layer was measured with picodet's model on this input: the greatest "
        "difference between float32 and float64, between two orders of addition (other threads, "
        "and sequential where Paddle's is: means, convolutions with one output), and between "
        "several runs whose numbers are rounded up or down at random; but at least half a unit in "
        f"the last place. An error may be {NOISE_MULTIPLE:g} times that"
    )


def _images(config: ModelConfig, recording: Recording) -> Tensor | None:
    """The reference's input; of a summary, which has only its key, what preprocessing makes."""
    index = recording.index
    if recording.has(index.input):
        return torch.from_numpy(recording.tensor(index.input))
    # a summary leaves the input out where it does not depend on the resize kernels
    kernels: ResizeKernels
    for kernels in ("native", "portable"):
        steps = preprocessing_steps(recorded_image(recording), config, kernels)
        array = steps["normalise"][None].astype(index.precision)
        if content_key(array) == index.input:
            return torch.from_numpy(array)
    return None


def _layers_stage(result: LayersResult) -> Stage:
    if not result.layers:
        text = "preprocessing differs, and a summary has no input; record without --summary"
        return Stage("layers", "not compared", text)
    findings = [
        Finding(item.path, f"only in the {item.side}", f"a partner for this {item.type}")
        for item in result.unpaired
    ]
    if result.run_error:
        findings.append(Finding("the whole model", result.run_error, "a complete forward pass"))
    guilty = [layer for layer in result.layers if layer.status == "guilty"]
    text = f"{len(result.layers)} calls"
    for name in ("local", "accumulated"):
        if (found := worst(getattr(layer, name) for layer in result.layers)) is not None:
            text += f"; {name} error at most {times_noise(found)} times the noise"
    if guilty:
        text += f"; {len(guilty)} guilty, first in order {guilty[0].path}"
    wrong = guilty or findings or any(layer.status != "aligned" for layer in result.layers)
    return Stage("layers", "differs" if wrong else "aligned", text, tuple(findings))


def _environment(recording: Recording, model_path: Path) -> dict[str, str]:
    index = recording.index
    here = versions("torch", "onnxruntime") | {"CPU": cpu()}
    return {
        "reference": index.file,
        "reference SHA-256": index.sha256,
        "model": model_path.name,
        "model SHA-256": sha256(model_path),
        "input": f"{list(index.tensors[index.input].shape)}, SHA-256 {index.input}..",
        "threads": str(torch.get_num_threads()),
        **{f"reference: {name}": value for name, value in index.versions.items()},
        **{f"model: {name}": value for name, value in here.items()},
    }
