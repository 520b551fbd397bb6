"""What `picodet-eval` does, and where the outcome goes: terminal, page, result file, JSON."""

import shlex
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import click
from rich.console import Console

from picodet import distributed
from picodet.commands.common import progress_bar
from picodet.data.coco import read_annotations
from picodet.evaluation import evaluator as session
from picodet.evaluation.compare import compare_results
from picodet.evaluation.detections import coverage, read_results, write_results
from picodet.evaluation.provenance import about_file, kernels_note, settings_of, write_about
from picodet.evaluation.report import build
from picodet.evaluation.report.build import Context, Evaluated
from picodet.evaluation.report.html import page
from picodet.evaluation.report.text import print_reports
from picodet.evaluation.report.text_comparison import print_result_comparison
from picodet.evaluation.report.to_json import as_json, comparison_as_json
from picodet.evaluation.resume import remove_progress
from picodet.evaluation.schema import Report, WhatIf
from picodet.files import write_json, write_text
from picodet.system.versions import cpu, versions


@dataclass(frozen=True)
class Outputs:
    """Where the outcome goes."""

    out: Path | None
    html: Path | None
    json_file: Path | None
    per_class: bool

    def files(self, interps: Sequence[int]) -> list[Path]:
        """What is written beside what was named, one file for each of several interps."""
        several = len(interps) > 1
        named = [path for path in (self.out, self.html) if path] if several else []
        files = [_named(path, _suffix(interp)) for path in named for interp in interps]
        out = self.out and [_named(self.out, _suffix(i)) for i in interps if several]
        return files + [about_file(path) for path in out or ([self.out] if self.out else [])]

    def run(self, asked: session.Asked, evaluator: str) -> list[Report]:
        """Reports of a model; none in a process that has just helped."""
        with ExitStack() as stack:
            together = stack.enter_context(distributed.process_group(asked.running.device))
            first = together.rank == 0
            checking, detecting = (
                stack.enter_context(progress_bar(name, "images")) if first else _quiet
                for name in ("checking pictures", "detecting")
            )
            found = session.detect_dataset(asked, together, checking, detecting)
        if not first:
            return []
        context = Context(
            model=str(asked.model),
            annotations=found.annotations,
            seconds=found.seconds,
            notes=found.notes,
            versions=versions(found.runtime, "hotcoco", "pycocotools"),
            commands=(_command(),),
            runs=len(found.settings),
            caveat=found.caveat,
        )
        runs = [
            Evaluated(
                setting.name,
                results,
                setting.feeding.interp,
                {"computed in": asked.running.precision} | setting.describe() | {"CPU": cpu()},
            )
            for setting, results in zip(found.settings, found.results, strict=True)
        ]
        rows: tuple[WhatIf, ...] = ()
        if asked.what_if:
            with progress_bar("drawing pictures again") as progress:
                rows = build.what_if(runs, found.annotations, evaluator, progress)
            runs = runs[:1]
        reports = self._reports(runs, context, asked.pictures, evaluator, rows)
        if found.partial:  # all is told
            remove_progress(found.partial)
        return reports

    def result_file(
        self, file: Path, pictures: Path | None, annotations: Path, evaluator: str
    ) -> list[Report]:
        """The report of detections that somebody has written."""
        truths = read_annotations(annotations)
        run = Evaluated("as written", read_results(file), None, settings_of(file))
        notes, caveat = coverage(file, run.results, truths)
        context = Context(
            *(str(file), truths, 0.0, (*notes, *truths.notes), {}, (_command(),)), caveat=caveat
        )
        return self._reports([run], context, pictures, evaluator)

    def _reports(
        self,
        runs: list[Evaluated],
        context: Context,
        pictures: Path | None,
        evaluator: str,
        rows: tuple[WhatIf, ...] = (),
    ) -> list[Report]:
        reports = [build.report(run, context, evaluator, rows) for run in runs]
        print_reports(reports, self.per_class, Console())
        several = len(reports) > 1
        for i, run in enumerate(runs):
            suffix = _suffix(run.interp) if several else ""
            if self.out:
                write_results(_named(self.out, suffix), run.results)
                write_about(_named(self.out, suffix), reports[i])
                click.echo(f"written {_named(self.out, suffix)}")
            if self.html and pictures:
                seen = build.worst(context.annotations, run.results, pictures)
                reports[i] = replace(reports[i], worst=seen)
            if self.html:
                write_text(_named(self.html, suffix), page(reports[i]))
                click.echo(f"written {_named(self.html, suffix)}")
        if self.json_file:
            values = [as_json(report) for report in reports]
            write_json(self.json_file, {"runs": values} if several else values[0])
        return reports

    def comparison(self, a: Path, b: Path, annotations: Path) -> None:
        """Two result files, box by box."""
        truths = read_annotations(annotations)
        for note in truths.notes:
            click.echo(f"Note: {note}", err=True)
        compared = compare_results(truths, read_results(a), read_results(b))
        print_result_comparison(compared, str(a), str(b), Console())
        note = kernels_note(a, b)
        if note:
            click.echo(f"Note: {note}")
        if self.json_file:
            write_json(self.json_file, comparison_as_json(compared) | {"note": note})


def _suffix(interp: int | None) -> str:
    return f"_interp{interp}"


def _named(path: Path, suffix: str) -> Path:
    """One file of several."""
    return path.with_name(f"{path.stem}{suffix}{path.suffix}")


def _quiet(done: int, total: int) -> None:
    """Only one process shows how far it is."""


def _command() -> str:
    """How this was called."""
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
