"""Runs an evaluation and writes its outputs: terminal, HTML page, predictions file, JSON."""

import shlex
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import click
from rich.console import Console

from picodet import distributed
from picodet.commands.evaluation_comparison import print_comparison
from picodet.commands.evaluation_tables import print_reports
from picodet.commands.progress import progress_bar
from picodet.data.coco import AnnotationSource, read_annotations
from picodet.evaluation import evaluator as session
from picodet.evaluation.compare import compare_predictions
from picodet.evaluation.detections import describe_coverage, read_predictions, write_predictions
from picodet.evaluation.provenance import (
    kernels_note,
    provenance_path,
    read_settings,
    write_provenance,
)
from picodet.evaluation.report import build
from picodet.evaluation.report.build import EvalRun, ReportContext
from picodet.evaluation.report.html import render_html
from picodet.evaluation.report.to_json import comparison_to_json, report_to_json
from picodet.evaluation.resume import remove_progress
from picodet.evaluation.schema import Report, WhatIf
from picodet.files import write_json, write_text


@dataclass(frozen=True)
class Outputs:
    """Output files of an evaluation; its methods run one and write them."""

    out: Path | None
    html: Path | None
    json_file: Path | None
    per_class: bool

    def files(self, interps: Sequence[int]) -> list[Path]:
        """Files written besides those given: one per interp if several, the settings of --out."""
        several = len(interps) > 1
        named = [path for path in (self.out, self.html) if path] if several else []
        files = [_named(path, _suffix(interp)) for path in named for interp in interps]
        out = self.out and [_named(self.out, _suffix(i)) for i in interps if several]
        return files + [provenance_path(path) for path in out or ([self.out] if self.out else [])]

    def evaluate_model(self, request: session.EvalRequest, evaluator: str) -> list[Report]:
        """Evaluate a model and write the outputs; reports only in the first process."""
        with ExitStack() as stack:
            group = stack.enter_context(distributed.process_group(request.runtime_options.device))
            first = group.rank == 0
            check_progress, detect_progress = (
                stack.enter_context(progress_bar(name, "images")) if first else _quiet
                for name in ("checking images", "detecting")
            )
            output = session.detect_dataset(request, group, check_progress, detect_progress)
        if not first:
            return []
        runs, context = build.describe_runs(request, output, (_command(),))
        rows: tuple[WhatIf, ...] = ()
        if request.what_if:
            with progress_bar("bootstrap") as progress:
                rows = build.build_what_if(runs, output.annotations, evaluator, progress)
            runs = runs[:1]
        reports = self._reports(runs, context, request.images, evaluator, rows)
        if output.partial:  # all outputs are written
            remove_progress(output.partial)
        return reports

    def evaluate_file(
        self, file: Path, images: Path | None, annotations: AnnotationSource, evaluator: str
    ) -> list[Report]:
        """Evaluate an existing predictions file and write the outputs; a list of its one report."""
        dataset = read_annotations(annotations)
        run = EvalRun("as written", read_predictions(file), None, read_settings(file))
        notes, caveat = describe_coverage(file, run.predictions, dataset)
        context = ReportContext(
            *(str(file), dataset, 0.0, (*notes, *dataset.notes), {}, (_command(),)), caveat=caveat
        )
        return self._reports([run], context, images, evaluator)

    def _reports(
        self,
        runs: list[EvalRun],
        context: ReportContext,
        images: Path | None,
        evaluator: str,
        rows: tuple[WhatIf, ...] = (),
    ) -> list[Report]:
        reports = [build.build_report(run, context, evaluator, rows) for run in runs]
        print_reports(reports, self.per_class, Console())
        several = len(reports) > 1
        for i, run in enumerate(runs):
            suffix = _suffix(run.interp) if several else ""
            if self.out:
                write_predictions(_named(self.out, suffix), run.predictions)
                write_provenance(_named(self.out, suffix), reports[i])
                click.echo(f"written {_named(self.out, suffix)}")
            if self.html and images:
                worst_images = build.build_worst_images(
                    context.annotations, run.predictions, images
                )
                reports[i] = replace(reports[i], worst=worst_images)
            if self.html:
                write_text(_named(self.html, suffix), render_html(reports[i]))
                click.echo(f"written {_named(self.html, suffix)}")
        if self.json_file:
            values = [report_to_json(report) for report in reports]
            write_json(self.json_file, {"runs": values} if several else values[0])
        return reports

    def compare_files(self, a: Path, b: Path, annotations: AnnotationSource) -> None:
        """Compare two predictions files box by box, print the result and write it as JSON."""
        dataset = read_annotations(annotations)
        for note in dataset.notes:
            click.echo(f"Note: {note}", err=True)
        comparison = compare_predictions(dataset, read_predictions(a), read_predictions(b))
        print_comparison(comparison, str(a), str(b), Console())
        note = kernels_note(a, b)
        if note:
            click.echo(f"Note: {note}")
        if self.json_file:
            write_json(self.json_file, comparison_to_json(comparison) | {"note": note})


def _suffix(interp: int | None) -> str:
    return f"_interp{interp}"


def _named(path: Path, suffix: str) -> Path:
    """The path with a suffix before its extension."""
    return path.with_name(f"{path.stem}{suffix}{path.suffix}")


def _quiet(done: int, total: int) -> None:
    """Progress callback of the processes that show none."""


def _command() -> str:
    """The command line of this run."""
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
