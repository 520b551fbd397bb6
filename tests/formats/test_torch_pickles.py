"""Pickles in PyTorch's files that would cost a process its memory, its time or its life."""

import os
import pickle
import struct
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path

import bad_files
import pytest
import torch

from picodet.errors import CheckpointError
from picodet.formats.array_unpickler import unpickle
from picodet.formats.pickle_opcodes import RefusedError
from picodet.formats.torch_pickles import check_pickle

ARCHIVE = bad_files.torch_file({"a": torch.ones(3)})
# in a process of its own: what is refused here has ended processes
READ = """
import sys
from pathlib import Path
from picodet.errors import CheckpointError
from picodet.system.machine import peak_memory
from picodet.formats.torch_files import read_torch
from work import count_calls
for path in sys.argv[1:]:
    before = peak_memory()
    with count_calls() as work:
        try:
            read_torch(Path(path))
        except CheckpointError as error:
            print(error, flush=True)
    assert before is None or peak_memory() - before < 100_000_000, path
"""


def asking(name: str, arguments: bytes) -> bytes:
    module, function = name.split()
    return b"\x80\x02c%s\n%s\n%sR." % (module.encode(), function.encode(), arguments)


def integer(number: int) -> bytes:
    return b"\x8a\x08" + struct.pack("<q", number)


TEXT = b"X\x40\x42\x0f\x00" + bytes(1_000_000)
PROGRAMS = {
    "10 GB of bytes": asking("builtins bytearray", integer(10**10) + b"\x85"),
    "the same as Python 2 named it": asking("__builtin__ bytearray", integer(10**10) + b"\x85"),
    "10 GB of numbers": asking("torch FloatTensor", integer(10**10) + b"\x85"),
    "10 GB of storage": asking("torch.storage UntypedStorage", integer(10**10) + b"\x85"),
    "a storage called": asking("torch FloatStorage", integer(10**10) + b"\x85"),
    "a megabyte made bytes again and again": b"\x80\x02c_codecs\nencode\nq\x00%bq\x010" % TEXT
    + b"h\x00h\x01\x85R" * 5000
    + b".",
    "a tuple in a tuple in a tuple as a key": b"\x80\x02})" + b"\x85" * 1_000_000 + b"K\x01s.",
    "and so on through the memo": b"\x80\x02})" + b"\x85q\x01h\x01\x86" * 500_000 + b"K\x01s.",
    "lists in lists": b"\x80\x02}X\x01\x00\x00\x00a" + b"]" * 100_000 + b"a" * 99_999 + b"s.",
    "a million instructions": b"\x80\x02}" + b"K\x01" * 1_000_000 + b".",
    "what is not there": b"\x80\x02}(s.",
    "a mark that is not there": b"\x80\x02}u.",
    "nothing at all": b"",
    "an endless number": b"\x80\x02}\x8a\xff" + b"\x01" * 255 + b"Ns.",
    "a name twice": b"\x80\x02}(X\x01\x00\x00\x00aNX\x01\x00\x00\x00aNu.",
    "a name twice, one after the other": b"\x80\x02}X\x01\x00\x00\x00aq\x01Nsh\x01Ns.",
    "items of a size": asking("torch Size", b"K\x01\x85\x85")[:-1] + b"K\x00K\x02s.",
    "items of a list": b"\x80\x02](K\x00K\x02u.",
    "code": asking("os system", b"X\x05\x00\x00\x00touch\x85"),
}


@pytest.mark.slow
def test_what_no_file_of_weights_has(tmp_path):
    paths = []
    for name, program in PROGRAMS.items():
        for content in (bad_files.repacked(ARCHIVE, program), in_old_form(program)):
            paths.append(tmp_path / f"{name}, {len(paths) % 2}.pth")
            paths[-1].write_bytes(content)
    command = [sys.executable, "-c", READ, *paths]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(sys.path)
    }  # for tests/helpers/work.py
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    messages = ended.stdout.splitlines()
    assert ended.returncode == 0, (messages[-1:], ended.stderr)
    for path, message in zip(paths, messages, strict=True):
        assert message.startswith(f"{path}: ")


def in_old_form(program: bytes) -> bytes:
    """The pickle where PyTorch 1.5 had it: behind three others, the last a dictionary of sizes."""
    old = bad_files.torch_file({"a": torch.ones(3)}, zipped=False)
    return old[: old.index(b"}") - len(b"\x80\x02")] + pickle.dumps({}, 2) + program


class Spoken(OrderedDict):
    """Pickles as a dictionary that answers for itself."""

    def __reduce__(self):
        return (
            OrderedDict,
            (),
            {"items": 1, "keys": 2, "get": 3},
            None,
            iter(OrderedDict.items(self)),
        )


def test_a_dictionary_that_says_something_else_than_it_holds(tmp_path):
    path = tmp_path / "x.pth"
    inner = Spoken(weight=torch.ones(2))
    path.write_bytes(bad_files.torch_file(Spoken(state_dict=inner, epoch=3)))
    from picodet.formats.torch_files import read_torch

    found = read_torch(path)
    assert (list(found.arrays), found.dropped) == (["weight"], ("epoch",))


def nested(depth: int) -> list:
    found: list = []
    for _ in range(depth):
        found = [found]
    return found


CIRCLE: dict[str, object] = {}
CIRCLE["a"] = CIRCLE


@pytest.mark.parametrize("value", [nested(150), CIRCLE, torch.ones(1)], ids=["deep", "round", "no"])
def test_meta_that_is_no_json(tmp_path, value):
    path = tmp_path / "x.pth"
    meta = {"picodet_version": "0.1", "kind": "detector", "channels": value}
    path.write_bytes(bad_files.torch_file({"state_dict": {"a": torch.ones(1)}, "meta": meta}))
    assert isinstance(bad_files.check(path).error, CheckpointError)


def test_more_dimensions_than_numpy_has(tmp_path):
    path: Path = tmp_path / "x.pth"
    path.write_bytes(bad_files.torch_file({"a": torch.ones(1).reshape((1,) * 65)}))
    assert "a has 65 dimensions" in str(bad_files.check(path).error)


@pytest.mark.filterwarnings("ignore::UserWarning")  # making it is deprecated
def test_names_that_are_no_text(tmp_path):
    path = tmp_path / "x.pth"
    for name in (torch.ones(3), torch.ones(1).storage(), (1, 2), 1.5, None):
        path.write_bytes(bad_files.torch_file({name: torch.ones(1)}))
        assert "a key of type " in str(bad_files.check(path).error)


@pytest.mark.parametrize("name", ["items of a size", "items of a list"])
def test_items_are_set_of_dictionaries_only(name):
    """Asked of our own check: torch from 2.10 on refuses these too, an older one runs them."""
    with pytest.raises(RefusedError, match="not a dictionary"):
        check_pickle(PROGRAMS[name])


def test_where_a_pickle_ends_the_next_begins():
    first, second = pickle.dumps({"a": 1}, 2), pickle.dumps(["b"], 2)
    end = check_pickle(first + second)
    assert end == len(first)
    assert check_pickle(first + second, end) == len(first + second)


def test_long_text_in_any_script_is_read():
    """A config that mmdet stored, with comments; only a .pdparams holds nothing but names."""
    text = "图" * 2000
    data = pickle.dumps({"meta": text}, 2)
    assert check_pickle(data) == len(data)
    with pytest.raises(RefusedError, match="a text of 6,000 bytes"):
        unpickle(data)
