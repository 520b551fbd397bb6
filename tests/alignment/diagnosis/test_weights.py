import numpy as np
import pytest
import torch

from picodet.alignment.diagnosis.weights import explain
from picodet.alignment.recording.index import content_key
from picodet.alignment.result import UNKNOWN_CAUSE

KERNEL = np.random.default_rng(0).normal(size=(4, 4, 3, 3)).astype("f4")
MATRIX = KERNEL[:, :, 0, 0].copy()
VECTOR = KERNEL[:, 0, 0, 0].copy()


def explained(candidate, reference, whole=True):
    return explain(
        "a.weight",
        {"a.weight": np.ascontiguousarray(candidate)},
        {"a.weight": content_key(reference)},
        reference if whole else None,
    )


def off(array, index, factor):
    array = array.copy()
    array[index] *= factor
    return array


def cut_to_bfloat16(array):
    return (array.view(np.uint32) & 0xFFFF0000).view(np.float32)


def rounded_to_bfloat16(array):
    return torch.from_numpy(array).bfloat16().float().numpy()


@pytest.mark.parametrize(
    ("candidate", "text"),
    [
        (KERNEL.swapaxes(0, 1), "output and input channels are exchanged"),
        (KERNEL.swapaxes(2, 3), "the kernel is transposed"),
        (KERNEL[:, :, ::-1, ::-1], "the kernel is rotated by 180 degrees"),
        (KERNEL[::-1], "the output channels are in reverse order"),
        (KERNEL[:, ::-1], "the input channels are in reverse order"),
    ],
)
@pytest.mark.parametrize("whole", [True, False])
def test_rotated_kernels_are_found_by_key(candidate, text, whole):
    assert explained(candidate, KERNEL, whole) == f"a.weight: {text}"


@pytest.mark.parametrize(
    ("candidate", "reference", "text"),
    [
        (
            off(KERNEL, (1, 2, 0, 1), 1.01),
            KERNEL,
            "one value is off, at [1, 2, 0, 1], by a factor of 1.01",
        ),
        (
            KERNEL[[0, 2, 1, 3]],
            KERNEL,
            "output channels are in another order: 1 is the reference's 2, 2 is the reference's 1",
        ),
        (
            KERNEL[[1, 2, 3, 0]],
            KERNEL,
            "output channels are in another order: 0 is the reference's 1, 1 is the reference's 2, "
            "2 is the reference's 3 and 1 more",
        ),
        (
            KERNEL[:, [0, 2, 1, 3]],
            KERNEL,
            "input channels are in another order: 1 is the reference's 2, 2 is the reference's 1",
        ),
        (
            VECTOR[[1, 0, 2, 3]],
            VECTOR,
            "output channels are in another order: 0 is the reference's 1, 1 is the reference's 0",
        ),
        (KERNEL * np.float32(1.5), KERNEL, "all values are off by a factor of 1.5"),
        (KERNEL * np.float32(0.99), KERNEL, "all values are off by a factor of 0.99"),
        (KERNEL.astype("f2").astype("f4"), KERNEL, "rounded to float16"),
        (rounded_to_bfloat16(KERNEL), KERNEL, "rounded to bfloat16"),
        (cut_to_bfloat16(KERNEL), KERNEL, "truncated to bfloat16"),
        (off(VECTOR, 2, np.inf), VECTOR, "1 values are NaN or Inf"),
        (off(VECTOR, slice(None), np.nan), VECTOR, "4 values are NaN or Inf"),
    ],
)
def test_known_mistakes(candidate, reference, text):
    assert explained(candidate, reference) == f"a.weight: {text}"


@pytest.mark.parametrize(
    ("candidate", "reference"),
    [
        (KERNEL + 1, KERNEL),
        (off(off(KERNEL, (0, 0, 0, 0), 2), (1, 1, 1, 1), 3), KERNEL),
        (VECTOR * np.float32([1, 2, 3, 4]), VECTOR),
        (KERNEL[:, :, :2], KERNEL),
        (MATRIX, np.zeros_like(MATRIX)),
    ],
)
def test_an_unknown_mistake_is_reported_as_unknown(candidate, reference):
    assert explained(candidate, reference) == UNKNOWN_CAUSE


def test_without_the_references_values_little_can_be_diagnosed():
    assert explained(KERNEL * np.float32(1.5), KERNEL, whole=False) == UNKNOWN_CAUSE


def exchanged(candidate, reference, name):
    keys = {n: content_key(array) for n, array in reference.items()}
    return explain(name, candidate, keys, reference[name])


A, B, C = (np.full(3, value, "f4") for value in (1, 2, 3))


def test_tensors_of_one_layer_exchanged():
    reference = {"bn.running_mean": A, "bn.running_var": B}
    candidate = {"bn.running_mean": B, "bn.running_var": A}
    text = "bn: running_mean and running_var are exchanged"
    assert [exchanged(candidate, reference, name) for name in reference] == [text, text]


def test_tensors_of_two_layers_exchanged():
    reference, candidate = {"a.bias": A, "b.bias": B}, {"a.bias": B, "b.bias": A}
    assert (
        exchanged(candidate, reference, "a.bias") == "a.bias: exchanged with the reference's b.bias"
    )


def test_a_tensor_that_holds_anothers():
    reference, candidate = {"a.bias": A, "b.bias": B}, {"a.bias": B, "b.bias": B}
    assert exchanged(candidate, reference, "a.bias") == "a.bias: holds the reference's b.bias"
    reference = {"a.weight": A, "a.bias": B, "c.bias": C}
    candidate = {"a.weight": B, "a.bias": B}
    assert exchanged(candidate, reference, "a.weight") == "a.weight: holds the reference's bias"
