"""Fuzzes every reader of files, guided by coverage, with atheris: `make fuzz`.

    python tests/fuzz.py SECONDS [READER ...]

Whatever a reader makes of an input, but an error of ours, is a finding; so are more than a second
of computing and 512 MB. Inputs that led to new code are kept in build/fuzz, by reader, and a
finding beside them. Ends with how many inputs each reader was given.
"""

import re
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parent.parent
KEPT = ROOT / "build" / "fuzz"
SECONDS, MEGABYTES = 1.0, 512
# who reads what: the form of tests/bad_files.py, and which of its files changes
READERS: Mapping[str, tuple[str, str]] = {
    ".pdparams": ("pdparams", "x.pdparams"),
    ".pdema": ("pdema", "x.pdema"),
    ".pdmodel": ("pdmodel", "model.pdmodel"),
    ".pdiparams": ("pdmodel", "model.pdiparams"),
    ".pdiparams.info": ("pdmodel", "model.pdiparams.info"),
    "infer_cfg.yml": ("pdmodel", "infer_cfg.yml"),
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
}
# an input is a part of the file, which is packed and unpacked so (functions of tests/bad_files.py)
DISGUISED = {
    ".pth, its pickle": ("repacked", "pickle_in"),
    ".safetensors, its meta": ("relabelled", "meta_in"),
    "recording, its index": ("reindexed", "index_in"),
    "summary, its index": ("reindexed", "index_in"),
    "training, its index": ("training_reindexed", "training_index_in"),
    "state, its position": ("repositioned", "position_in"),
}


def all_of(seconds: int, readers: list[str]) -> int:
    """Each in a process of its own, which a crash ends; how many had a finding."""
    rows = []
    KEPT.mkdir(parents=True, exist_ok=True)
    for reader in readers:
        name = re.sub(r"\W+", "_", reader).strip("_")
        corpus = KEPT / name
        corpus.mkdir(parents=True, exist_ok=True)
        limits = [f"-max_total_time={seconds}", "-timeout=20", "-rss_limit_mb=4000"]
        limits += [f"-artifact_prefix={KEPT}/{name}_", "-print_final_stats=1", "-verbosity=0"]
        command = [sys.executable, __file__, "--one", reader, *limits, str(corpus)]
        ended = subprocess.run(command, check=False, capture_output=True, text=True)
        found = re.search(r"number_of_executed_units:\s*(\d+)", ended.stderr)
        rows.append((int(found[1]) if found else 0, ended.returncode))
        _show(reader, rows[-1][0], ": a finding" if ended.returncode else "")
        if ended.returncode:
            sys.stdout.write(f"{ended.stdout[-2000:]}\n{ended.stderr[-4000:]}\n")
    findings = sum(code != 0 for _, code in rows)
    _show("in all", sum(count for count, _ in rows), f", {findings} findings")
    return findings


def _show(name: str, count: int, rest: str) -> None:
    sys.stdout.write(f"{name:26}{count:>12,} inputs{rest}\n")
    sys.stdout.flush()


def one(reader: str, arguments: list[str]) -> None:
    """Fuzz until it is over; ends the process."""
    import atheris
    import onnx  # noqa: F401 (is not instrumented, nor is torch)
    import torch  # noqa: F401

    sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tools")]
    with atheris.instrument_imports(include=["picodet"]):
        import bad_files
    from picodet.errors import PicoDetError

    form_name, changing = READERS[reader]
    form = bad_files.forms()[form_name]
    into, outof = DISGUISED.get(reader, ("", ""))
    whole = form.files[changing]
    with TemporaryDirectory() as folder:
        path = form.write(Path(folder))

        def test(data: bytes) -> None:
            content = getattr(bad_files, into)(whole, data) if into else data
            (Path(folder) / changing).write_bytes(content)
            start, memory = time.process_time(), bad_files.peak()
            with suppress(PicoDetError):
                form.reader(path)
            taken, grown = time.process_time() - start, bad_files.peak() - memory
            if taken > SECONDS or grown > MEGABYTES:
                raise RuntimeError(f"{taken:.1f} seconds, {grown:.0f} MB more")

        seed = getattr(bad_files, outof)(whole) if outof else whole
        bad_files.warm_up()
        with suppress(PicoDetError):
            form.reader(path)
        (Path(arguments[-1]) / "whole").write_bytes(seed)
        atheris.Setup([sys.argv[0], *arguments], test)
        atheris.Fuzz()


def main(*arguments: str) -> None:
    """All readers, or those that are named; or, for ourselves, --one."""
    if arguments[0] == "--one":
        one(arguments[1], list(arguments[2:]))
    sys.exit(all_of(int(arguments[0]), list(arguments[1:]) or list(READERS)) > 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
