"""Fuzzes every reader of files, guided by coverage, with atheris: `make fuzz`.

    python tests/fuzz.py SECONDS [READER ...]

Whatever a reader makes of an input, but an error of ours, is a finding; so are more than a second
of computing and 512 MB. Inputs that led to new code are kept in build/fuzz, by reader, and a
finding beside them. Ends with how many inputs each reader was given.
"""

import os
import re
import sys
import time
from collections.abc import Mapping
from contextlib import redirect_stderr, suppress
from io import StringIO
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryDirectory
from types import ModuleType
from typing import NoReturn

ROOT = Path(__file__).parent.parent
FINDINGS_FOLDER = ROOT / "build" / "fuzz"
SECONDS, MEGABYTES = 1.0, 512
STUCK = 100  # seconds by the clock, of one input
# who reads what: the form of tests/helpers/bad_files.py, and which of its files changes
READERS: Mapping[str, tuple[str, str]] = {
    ".pdparams": ("pdparams", "x.pdparams"),
    ".pdema": ("pdema", "x.pdema"),
    ".pdmodel": ("pdmodel", "model.pdmodel"),
    ".pdiparams": ("pdmodel", "model.pdiparams"),
    ".pdiparams.info": ("pdmodel", "model.pdiparams.info"),
    "infer_cfg.yml": ("pdmodel", "infer_cfg.yml"),
    "inference.yml": ("paddlex", "inference.yml"),
    "quantized .pdmodel": ("paddlex", "inference.pdmodel"),
    "quantized .pdiparams": ("paddlex", "inference.pdiparams"),
    "program of Paddle 3": ("pir", "model.json"),
    ".onnx": ("onnx", "x.onnx"),
    ".pth, its pickle": ("pth", "x.pth"),
    ".pth, whole": ("pth", "x.pth"),
    ".pth before 1.6": ("old pth", "x.pth"),
    ".safetensors": ("few safetensors", "x.safetensors"),
    ".safetensors, its meta": ("safetensors", "x.safetensors"),
    "config.json": ("folder", "config.json"),
    "preprocessor_config.json": ("folder", "preprocessor_config.json"),
    "class names": ("class names", "x.txt"),
    ".tar": ("tar", "x.tar"),
    ".pdparams, protocol 0": ("protocol 0", "x.pdparams"),
    ".pdparams, protocol 5": ("protocol 5", "x.pdparams"),
    "index of .safetensors": ("parts", "x.safetensors.index.json"),
    "recording": ("recording", "x.safetensors"),
    "recording, its index": ("recording", "x.safetensors"),
    "summary, its index": ("summary", "x.safetensors"),
    "training, .npz": ("training recording", "x.npz"),
    "training, its index": ("training recording", "x.npz"),
    "training, its batch": ("batch", "x.npz"),
    "input, .npy": ("array", "x.npy"),
    "annotations": ("annotations", "x.json"),
    "results": ("results", "x.json"),
    "results, .json.gz": ("packed results", "x.json.gz"),
    "evaluation so far": ("progress", "x.npz"),
    "state of a training": ("state", "x.safetensors"),
    "state, its position": ("state", "x.safetensors"),
    "Pascal VOC, .xml": ("voc", "x.xml"),
    "YOLO, labels": ("labels", "x.txt"),
    "YOLO, data.yaml": ("data.yaml", "data.yaml"),
    "settings of layouts": ("layout settings", "x.yml"),
}
# an input is a part of the file, which is packed and unpacked so (functions of
# tests/helpers/bad_files.py)
DISGUISED = {
    ".pth, its pickle": ("repacked", "pickle_in"),
    ".safetensors, its meta": ("relabelled", "meta_in"),
    "recording, its index": ("reindexed", "index_in"),
    "summary, its index": ("reindexed", "index_in"),
    "training, its index": ("training_reindexed", "training_index_in"),
    "state, its position": ("repositioned", "position_in"),
}


def fuzz_all(seconds: int, readers: list[str]) -> int:
    """Each in a process of its own, which a crash ends; how many had a finding."""
    bad_files = _instrumented()
    counts = []
    findings = 0
    for reader in readers:
        name = re.sub(r"\W+", "_", reader).strip("_")
        corpus = FINDINGS_FOLDER / name
        corpus.mkdir(parents=True, exist_ok=True)
        limits = [f"-max_total_time={seconds}", f"-timeout={STUCK}", "-rss_limit_mb=4000"]
        limits += [
            f"-artifact_prefix={FINDINGS_FOLDER}/{name}_",
            "-print_final_stats=1",
            "-verbosity=0",
        ]
        with TemporaryDirectory() as folder, NamedTemporaryFile("r", errors="replace") as log:
            child = os.fork()
            if child == 0:
                for stream in (1, 2):
                    os.dup2(os.open(log.name, os.O_WRONLY | os.O_APPEND), stream)
                fuzz_one(bad_files, reader, Path(folder), [*limits, str(corpus)])
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            text = log.read()
        found = re.search(r"number_of_executed_units:\s*(\d+)", text)
        counts.append(int(found[1]) if found else 0)
        _show(reader, counts[-1], ": a finding" if code else "")
        if code:
            findings += 1
            sys.stdout.write(f"{text[-6000:]}\n")
    _show("in all", sum(counts), f", {findings} findings")
    return findings


def _instrumented() -> ModuleType:
    """What reads and what is read, once for all: a minute on a busy machine."""
    import atheris
    import onnx  # noqa: F401 (is not instrumented, nor is torch)
    import torch

    torch.set_num_threads(1)  # a process with threads cannot be forked
    sys.path[:0] = [str(ROOT / "tests" / "helpers"), str(ROOT)]
    with redirect_stderr(StringIO()), atheris.instrument_imports(include=["picodet"]):
        import bad_files
    bad_files.forms()
    bad_files.warm_up()
    return bad_files


def _show(name: str, count: int, rest: str) -> None:
    sys.stdout.write(f"{name:26}{count:>12,} inputs{rest}\n")
    sys.stdout.flush()


def fuzz_one(bad_files: ModuleType, reader: str, folder: Path, arguments: list[str]) -> NoReturn:
    """Fuzz until it is over; ends the process."""
    import atheris

    from picodet.errors import PicoDetError

    form_name, changing = READERS[reader]
    form = bad_files.forms()[form_name]
    into, outof = DISGUISED.get(reader, ("", ""))
    whole = form.files[changing]
    path = form.write(folder)

    def test(data: bytes) -> None:
        content = getattr(bad_files, into)(whole, data) if into else data
        (folder / changing).write_bytes(content)
        start, memory = time.process_time(), bad_files.peak()
        with suppress(PicoDetError):
            form.reader(path)
        taken, grown = time.process_time() - start, bad_files.peak() - memory
        if taken > SECONDS or grown > MEGABYTES:
            raise RuntimeError(f"{taken:.1f} seconds, {grown:.0f} MB more")

    seed = getattr(bad_files, outof)(whole) if outof else whole
    with suppress(PicoDetError):
        form.reader(path)
    (Path(arguments[-1]) / "whole").write_bytes(seed)
    atheris.Setup([sys.argv[0], *arguments], test)
    atheris.Fuzz()
    os._exit(0)


def main(seconds: str, *readers: str) -> None:
    """All readers, or those that are named."""
    sys.exit(fuzz_all(int(seconds), list(readers) or list(READERS)) > 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
