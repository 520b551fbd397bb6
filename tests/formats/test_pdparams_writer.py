"""What is written is read again bit for bit, here, by pickle as NumPy makes it, and by Paddle."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from picodet.errors import OutputError
from picodet.formats import pdparams
from picodet.formats.pdparams_writer import parameter_names, write

VALUES = {
    "conv.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "bn.weight": np.array([1.5, -np.inf], np.float16),
    "bn._mean": np.array([0.1], np.float64),
    "fortran.weight": np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
    "big.weight": np.arange(3).astype(">f4"),
    "bfloat16.weight": np.array([0x3F80], np.uint16),
    "no.dimension": np.array(2.0),
}


def same(found, expected):
    assert list(found) == list(expected)
    for name, value in expected.items():
        assert found[name].dtype == value.dtype.newbyteorder("=")
        assert found[name].shape == value.shape
        assert found[name].tobytes() == value.astype(value.dtype.newbyteorder("<")).tobytes()


def test_a_file_is_read_by_us_and_by_pickle(tmp_path):
    path = tmp_path / "x.pdparams"
    write(path, VALUES)
    same(pdparams.read(path), VALUES)
    content = pickle.loads(path.read_bytes(), encoding="latin1")  # noqa: S301 (our own)
    assert list(content.pop("StructuredToParameterName@@")) == list(VALUES)
    same(content, VALUES)
    assert list(tmp_path.iterdir()) == [path]


weights = st.sampled_from(["<f4", "<f2", "<f8", "<u2"]).flatmap(
    lambda dtype: arrays(dtype, array_shapes(min_dims=0, max_dims=4, max_side=3))
)


@pytest.mark.slow
@given(st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=9), weights, min_size=1))
def test_any_weights_come_back(tmp_path_factory, values):
    path = tmp_path_factory.getbasetemp() / "any.pdparams"
    write(path, values)
    same(pdparams.read(path), values)


def test_the_bytes_are_always_the_same(tmp_path):
    """Every byte of it, as it is laid down in the format: no NumPy has a say in it."""
    write(tmp_path / "x", {"a.weight": np.array([1.0], np.float32)})
    assert (tmp_path / "x").read_bytes() == (
        b"\x80\x04}("
        b"X\x08\x00\x00\x00a.weight"
        b"cnumpy.core.multiarray\n_reconstruct\n"
        b"(cnumpy\nndarray\n(J\x00\x00\x00\x00tC\x01btR"
        b"(J\x01\x00\x00\x00(J\x01\x00\x00\x00t"
        b"cnumpy\ndtype\n(X\x02\x00\x00\x00f4\x89\x88tR"
        b"(J\x03\x00\x00\x00X\x01\x00\x00\x00<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffJ\x00\x00\x00\x00tb"
        b"\x89\x8e\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80?tb"
        b"X\x1b\x00\x00\x00StructuredToParameterName@@"
        b"}(X\x08\x00\x00\x00a.weightX\x0c\x00\x00\x00conv2d_0.w_0uu."
    )


def test_parameters_have_the_names_of_their_layers():
    kernel = np.ones((1, 1), np.float32)
    names = parameter_names(
        {
            "a.conv.weight": kernel,
            "a.conv.bias": np.ones(1),
            "a.bn.weight": np.ones(1),
            "a.bn.bias": np.ones(1),
            "a.bn._mean": np.ones(1),
            "a.bn._variance": np.ones(1),
            "head.p3_feat.scale_reg": np.ones(1),
            "b.conv.weight": np.ones(1),
            "again.weight": kernel,
        }
    )
    assert list(names.values()) == [
        *("conv2d_0.w_0", "conv2d_0.b_0"),
        *("batch_norm2d_0.w_0", "batch_norm2d_0.b_0", "batch_norm2d_0.w_1", "batch_norm2d_0.w_2"),
        *("scale_reg_0.w_0", "conv2d_1.w_0", "conv2d_0.w_0"),
    ]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "no tensors to write"),
        ({"a": np.ones(1, np.int64)}, "a has dtype int64; expected float64"),
        ({"a": np.array([None])}, "a has dtype object; expected float64"),
        ({"StructuredToParameterName@@": np.ones(1)}, "@@ has dtype float64"),
    ],
)
def test_what_no_checkpoint_holds_is_not_written(tmp_path, values, message):
    with pytest.raises(OutputError, match=message):
        write(tmp_path / "x", values)
    assert not list(tmp_path.iterdir())
