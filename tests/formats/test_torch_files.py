"""Files of weights as others save them: read as data, or one clear error."""

import io
import pickle
import struct
import warnings
import zipfile
from argparse import Namespace
from collections import OrderedDict

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from memory import peak
from safetensors.torch import save_file
from torch import nn

from picodet.errors import CheckpointError
from picodet.formats.torch_files import read_torch

STATE = OrderedDict(
    single=torch.arange(4.0),
    half=torch.tensor([1.5, -2], dtype=torch.float16),
    brain=torch.tensor([[1.0, -2.0]], dtype=torch.bfloat16),
    double=torch.ones(2, 3, dtype=torch.float64).t(),
    counter=torch.tensor(3),
    parameter=nn.Parameter(torch.ones(1)),
)
ARRAYS = {name: value.detach() for name, value in STATE.items()}


@pytest.fixture
def saved(tmp_path):
    def saved(content, name="w.pth", **options):
        torch.save(content, tmp_path / name, **options)
        return tmp_path / name

    return saved


def refused(path, *arguments):
    with pytest.raises(CheckpointError) as caught:
        read_torch(path, *arguments)
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    return text


def assert_state(arrays):
    assert list(arrays) == list(STATE)
    assert arrays["single"].tolist() == [0, 1, 2, 3]
    assert [a.dtype.name for a in arrays.values()] == [
        *("float32", "float16", "uint16", "float64", "int64", "float32")
    ]
    assert arrays["brain"].tolist() == [[0x3F80, 0xC000]]
    assert arrays["double"].shape == (3, 2)
    assert arrays["counter"] == 3


@pytest.mark.parametrize("zipped", [True, False], ids=["today's form", "before PyTorch 1.6"])
def test_a_bare_state_dict(saved, zipped):
    found = read_torch(saved(STATE, _use_new_zipfile_serialization=zipped))
    assert (found.wrapper, found.prefix, found.meta, found.dropped) == (None, "", None, ())
    assert_state(found.arrays)


def test_safetensors_by_any_name(tmp_path):
    save_file({name: value.contiguous() for name, value in ARRAYS.items()}, tmp_path / "w.pth")
    found = read_torch(tmp_path / "w.pth")
    assert_state({name: found.arrays[name] for name in STATE})
    assert found.meta is None


def test_meta_of_our_own(saved, tmp_path):
    meta = {"picodet_version": "0.1", "kind": "detector"}
    found = read_torch(saved({"state_dict": STATE, "meta": meta}))
    assert (found.wrapper, found.meta, found.dropped) == ("state_dict", meta, ())
    save_file({"a": torch.ones(1)}, tmp_path / "x", {"picodet": '{"kind": "backbone"}'})
    assert read_torch(tmp_path / "x").meta == {"kind": "backbone"}


@pytest.mark.parametrize(
    ("content", "wrapper", "prefix", "dropped"),
    [
        (
            {"meta": {"epoch": 1}, "state_dict": STATE, "optimizer": {"state": {}}},
            *("state_dict", "", ("meta", "optimizer")),
        ),
        ({"epoch": 3, "model": STATE}, "model", "", ("epoch",)),
        ({"ema": {"module": STATE, "updates": 9}}, "ema.module", "", ("ema.updates",)),
        (
            {"model": {f"module.model.{n}": v for n, v in STATE.items()}},
            *("model", "module.model.", ()),
        ),
        (
            {
                "ema_state_dict": {f"module.{n}": v for n, v in STATE.items()}
                | {"steps": torch.tensor(5)}
            },
            *("ema_state_dict", "module.", ("ema_state_dict.steps",)),
        ),
        ({f"_orig_mod.{n}": v for n, v in STATE.items()}, None, "_orig_mod.", ()),
    ],
)
def test_wrappers_and_prefixes(saved, content, wrapper, prefix, dropped):
    found = read_torch(saved(content))
    assert (found.wrapper, found.prefix, found.dropped) == (wrapper, prefix, dropped)
    assert_state(found.arrays)


def test_a_prefix_belongs_to_all_or_to_none(saved):
    found = read_torch(saved({"model.a": torch.ones(1), "other.a": torch.ones(1)}))
    assert (found.prefix, list(found.arrays)) == ("", ["model.a", "other.a"])


def test_several_sets_of_weights_are_a_choice(saved):
    path = saved({"model": STATE, "ema": {"module": {"a": torch.ones(1)}, "updates": 1}})
    text = refused(path)
    assert "holds 2 weight sets, model, ema.module; select one, such as --weight-set ema.m" in text
    assert list(read_torch(path, "ema.module").arrays) == ["a"]
    assert read_torch(path, "model").dropped == ("ema",)
    assert "no weights under 'x'; it has model, ema.module" in refused(path, "x")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1], "holds a list; expected tensors by name"),
        ({}, "no weights under 'state_dict'; its 0 keys are"),
        ({"epoch": 3, "loss": 1.5}, "no weights under 'state_dict'; its 2 keys are epoch, loss"),
        ({"model": {"a": torch.ones(1), "epoch": 3}}, "epoch is a int; expected tensors by name"),
        ({1: torch.ones(1)}, "1 is a Tensor; expected tensors by name"),
        ({"a": torch.eye(3).to_sparse()}, "a is torch.sparse_coo on cpu"),
        ({"a": torch.ones(3, device="meta")}, "a is torch.strided on meta"),
        ({"a": torch.ones(3, dtype=torch.uint8)}, "a has dtype torch.uint8; expected floats"),
        ({"a": torch.ones(3, dtype=torch.complex64)}, "a has dtype torch.complex64"),
        ({"a": torch.ones(1).expand(10**9)}, "a of shape [1000000000] exceeds its storage"),
        (
            {"model": STATE, "args": Namespace()},
            "nothing of it was executed: it contains argparse.N",
        ),
        ({"state_dict": STATE, "best": np.float64(1)}, "it contains numpy"),
    ],
)
def test_what_is_no_state_dict(saved, content, message):
    for zipped in (True, False):
        assert message in refused(saved(content, _use_new_zipfile_serialization=zipped))


def test_a_quantized_tensor(saved):
    with warnings.catch_warnings():  # newer torch says that these are deprecated
        warnings.simplefilter("ignore", UserWarning)
        tensor = torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8)
    assert "a is quantized; expected plain tensors" in refused(saved({"a": tensor}))


class Owned:
    def __reduce__(self):
        return print, ("owned",)


def test_no_code_is_run(saved, tmp_path, capsys):
    assert "it contains print" in refused(saved({"state_dict": STATE, "x": Owned()}))
    (tmp_path / "x").write_bytes(pickle.dumps(Owned(), protocol=2))
    assert "expected a .pth or a .safetensors" in refused(tmp_path / "x")
    assert "owned" not in capsys.readouterr().out


def test_other_files(tmp_path):
    assert refused(tmp_path).endswith("Is a directory")
    (tmp_path / "empty").touch()
    assert "begins with the bytes of an empty file" in refused(tmp_path / "empty")
    (tmp_path / "text").write_text("<html>")
    assert "begins with the bytes 3c 68 74 6d" in refused(tmp_path / "text")


def test_a_torchscript_archive(saved):
    path = saved(STATE)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("archive/constants.pkl", b"")
    message = refused(path)
    assert "a TorchScript archive" in message
    assert f"torch.jit.load('{path.name}').state_dict()" in message


def rewritten(path, change, compression=zipfile.ZIP_STORED):
    """The archive with its pickle changed."""
    with zipfile.ZipFile(path) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in members:
            archive.writestr(name, change(data) if name.endswith("data.pkl") else data)
    return path


def claiming(data):
    """That seven numbers are 2.5 billion: 10 GB."""
    assert data.count(b"K\x07") == 2
    return data.replace(b"K\x07", b"\x8a\x08" + struct.pack("<q", 2_500_000_000))


def test_claims_take_no_memory(saved):
    before = peak()
    ones = {"a": torch.ones(7)}
    assert "damaged" in refused(rewritten(saved(ones), claiming))
    old = saved(ones, _use_new_zipfile_serialization=False)
    old.write_bytes(claiming(old.read_bytes()))
    refused(old)
    bomb = rewritten(saved({"a": torch.zeros(30_000_000)}), bytes, zipfile.ZIP_DEFLATED)
    assert bomb.stat().st_size < 200_000
    within = peak()
    assert "a compressed zip archive" in refused(bomb)
    safe = bomb.with_name("safe")
    header = b'{"a":{"dtype":"F32","shape":[2500000000],"data_offsets":[0,10000000000]}}'
    safe.write_bytes(struct.pack("<Q", len(header)) + header + bytes(16))
    assert "damaged file of weights" in refused(safe)
    after = peak()
    assert after - within < 20_000_000
    assert within - before < 400_000_000  # the bomb's own making


def test_a_changed_number_in_a_zip_is_noticed(saved):
    path = saved({"weight": torch.full((100,), 0.5)})
    data = path.read_bytes()
    at = data.index(struct.pack("<f", 0.5) * 100)
    path.write_bytes(data[: at + 40] + b"\x01" + data[at + 41 :])
    assert "the checksum of w/data/0 in it is wrong" in refused(path)


def in_memory(form):
    buffer = io.BytesIO()
    content = {"model": {"module.a": torch.arange(6.0).reshape(2, 3), "module.b": torch.tensor(1)}}
    torch.save(content, buffer, _use_new_zipfile_serialization=form == "zip")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The same weights in three forms, and a name to write what is left of them to."""
    folder = tmp_path_factory.mktemp("fuzz")
    save_file({"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor(1)}, folder / "s")
    return {
        "zip": in_memory("zip"),
        "old": in_memory("old"),
        "safetensors": (folder / "s").read_bytes(),
        "path": folder / "damaged",
    }


forms = st.sampled_from(["zip", "old", "safetensors"])


@given(forms, st.data())
def test_a_truncated_file_is_an_error(files, form, data):
    whole = files[form]
    files["path"].write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    refused(files["path"])


@given(forms, st.data())
def test_flipped_bits_are_an_error_or_numbers(files, form, data):
    damaged = bytearray(files[form])
    for bit in data.draw(st.lists(st.integers(0, 8 * len(damaged) - 1), min_size=1, max_size=8)):
        damaged[bit // 8] ^= 1 << bit % 8
    files["path"].write_bytes(damaged)
    try:
        found = read_torch(files["path"])
    except CheckpointError:
        return
    assert all(isinstance(array, np.ndarray) for array in found.arrays.values())
    if form == "zip" and sorted(found.arrays) == ["a", "b"] and found.arrays["a"].shape == (2, 3):
        assert found.arrays["a"].ravel().tolist() == [0, 1, 2, 3, 4, 5]
