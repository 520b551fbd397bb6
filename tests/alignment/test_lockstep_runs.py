"""Lockstep runs of networks that are small enough to compute by hand."""

import gc
import threading
import weakref

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from picodet.alignment.lockstep_runs import (
    LayerError,
    iterate_callback,
    replace_tensors,
    run,
    run_blocking,
    unique_tensors,
)
from picodet.models.head import HeadOutput


class Times(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(float(factor)))

    def forward(self, x):
        return x * self.factor


class Pair(nn.Module):
    """x -> (2x, 2x + 10x), with a layer called twice."""

    def __init__(self):
        super().__init__()
        self.two = Times(2)
        self.five = Times(5)

    def forward(self, x):
        doubled = self.two(x)
        return doubled, doubled + self.five(self.two(x))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.pair = Pair()
        self.three = Times(3)

    def forward(self, x):
        a, b = self.pair(x)
        return self.three(a + b)


ONE = torch.tensor([1.0])


def layer_calls(model=None, feed=None):
    return list(run(model or Net(), ONE, feed, threads=1))


def test_calls_come_in_the_order_of_returns():
    found = [(e.path, e.number, e.type, e.caller) for e in layer_calls()]
    assert found == [
        ("pair.two", 0, "Times", "pair"),
        ("pair.two", 1, "Times", "pair"),
        ("pair.five", 0, "Times", "pair"),
        ("pair", 0, "Pair", ""),
        ("three", 0, "Times", ""),
    ]


def test_calls_hold_inputs_and_outputs():
    found = [([t.item() for t in e.inputs], [t.item() for t in e.outputs]) for e in layer_calls()]
    assert found == [([1], [2]), ([1], [2]), ([2], [10]), ([1], [2, 12]), ([14], [42])]


def test_a_run_in_this_thread_is_the_same_and_leaves_no_hook():
    model, found = Net(), []
    for _ in range(2):
        run_blocking(model, ONE, None, torch.get_num_threads(), found.append)
    assert found == 2 * layer_calls(model)


class Feed:
    """A feed of tensors by path and number; a second request for one is an error."""

    def __init__(self, inputs, outputs):
        self.given = {"inputs": inputs, "outputs": outputs}

    def __getattr__(self, side):
        return lambda path, number: [
            value if value is None else torch.tensor([float(value)])
            for value in self.given[side].get((path, number), [])
        ]


def test_a_feed_replaces_inputs_and_outputs():
    feed = Feed(
        inputs={("pair.five", 0): [100]},
        outputs={("pair.two", 0): [7], ("pair", 0): [None, 20]},
    )
    found = {(e.path, e.number): e for e in layer_calls(feed=feed)}
    five, pair, three = found["pair.five", 0], found["pair", 0], found["three", 0]
    # inputs are the caller's, outputs the layer's: 2 is passed on, but 5 x 100 is computed
    assert [five.inputs[0].item(), five.outputs[0].item()] == [2, 500]
    assert found["pair.two", 0].outputs[0].item() == 2
    assert [t.item() for t in pair.outputs] == [7, 507]  # with the fed 7, not with its own 2
    assert three.inputs[0].item() == 27  # its own 7 and the fed 20


class Broken(nn.Module):
    def __init__(self, error):
        super().__init__()
        self.error = error

    def forward(self, x):
        raise self.error


@pytest.mark.parametrize("error", [RuntimeError("bad"), ValueError("bad"), IndexError("bad")])
def test_an_error_names_the_innermost_layer(error):
    model = Net()
    model.pair.five = Broken(error)
    paths = []
    with pytest.raises(LayerError, match=f"{type(error).__name__}: bad") as caught:
        paths.extend(layer_call.path for layer_call in run(model, ONE, None, threads=1))
    assert caught.value.path == "pair.five"
    assert threading.active_count() == 1


def test_an_error_between_layers_names_their_caller():
    model = Net()
    model.pair.forward = None
    with pytest.raises(LayerError, match="TypeError") as caught:
        layer_calls(model)
    assert caught.value.path == "pair"


def test_errors_of_the_comparison_are_not_the_models():
    model = Net()
    model.pair.five = Broken(AssertionError("a bug"))
    with pytest.raises(AssertionError, match="a bug"):
        layer_calls(model)


def test_runs_of_one_model_do_not_see_each_other():
    model = Net()
    first, second = (run(model, ONE, None, threads=1) for _ in range(2))
    paths = [(a.path, b.path) for a, b in zip(first, second, strict=True)]
    assert len(paths) == 5
    assert all(a == b for a, b in paths)


def test_the_model_is_left_as_it_was():
    model = Net()
    layer_calls(model)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert model(ONE).item() == 42


class Around(nn.Module):
    """Calls layers of another module, which it holds in a list, by a method passed to it."""

    def __init__(self, net):
        super().__init__()
        self.net, self.calls = net, [net.three, net.pair.five]
        self.last = net.pair.two.forward

    def forward(self, x):
        for layer in self.calls:
            x = layer(x)
        return self.last(x)


def test_layers_behind_other_references_are_cloned_too():
    model = Around(Net())
    model.net.three.register_forward_hook(lambda _, __, output: output + 1)
    found = [(layer_call.path, layer_call.outputs) for layer_call in layer_calls(model)]
    assert found == [("net.three", [4]), ("net.pair.five", [20])]
    assert model(ONE).item() == 40


def test_weights_are_shared_and_not_copied():
    model = nn.Sequential(Times(2))
    going = run(model, ONE, None, threads=1)
    with torch.no_grad():
        model[0].factor.fill_(9)
    assert next(going).outputs[0].item() == 9
    going.close()


def test_a_run_that_is_abandoned_leaves_no_thread_and_no_tensor():
    going = run(Net(), ONE, None, threads=1)
    layer_call = next(going)
    output = weakref.ref(layer_call.outputs[0])
    assert threading.active_count() == 2
    del layer_call
    going.close()
    assert threading.active_count() == 1
    gc.collect()
    assert output() is None


def test_a_run_that_was_never_started_leaves_no_thread():
    going = run(Net(), ONE, None, threads=1)
    going.close()
    del going
    assert threading.active_count() == 1


def test_means_by_sequential_summation():
    """2^24 + 1 + 1 is 2^24 in float32 when added in turn."""
    x = torch.zeros(1, 1, 1, 64)
    x[0, 0, 0, :3] = torch.tensor([2.0**24, 1.0, 1.0])
    model = nn.Sequential(nn.AdaptiveAvgPool2d(1))
    (plain,) = run(model, x, None, threads=1)
    (sequential,) = run(model, x, None, threads=1, sequential_sums=True)
    assert sequential.outputs[0].shape == plain.outputs[0].shape == (1, 1, 1, 1)
    assert sequential.outputs[0].item() == 2**24 / 64

    class Function(nn.Module):
        def forward(self, x):
            return F.adaptive_avg_pool2d(x, 1)

    (without_layer,) = run(nn.Sequential(Function()), x, None, threads=1, sequential_sums=True)
    assert without_layer.outputs[0].item() == 2**24 / 64
    with torch.inference_mode():
        other = nn.Sequential(nn.AdaptiveAvgPool2d(2))
        (halves,) = run(other, torch.ones(1, 1, 4, 4), None, threads=1, sequential_sums=True)
    assert halves.outputs[0].shape == (1, 1, 2, 2)


def test_convolutions_of_one_output_by_sequential_summation():
    """As above; on random numbers equal to torch's result within rounding."""
    x = torch.zeros(1, 64, 1, 1)
    x[0, :3, 0, 0] = torch.tensor([2.0**24, 1.0, 1.0])
    model = nn.Sequential(nn.Conv2d(64, 1, 1, bias=False))
    model[0].weight.data.fill_(1)
    (sequential,) = run(model, x, None, threads=1, sequential_sums=True)
    assert sequential.outputs[0].item() == 2**24
    for layer in (nn.Conv2d(3, 1, 5, 2, 2), nn.Conv2d(3, 1, (1, 3), padding=(0, 2), dilation=2)):
        x = torch.randn(2, 3, 9, 12)
        plain, again = (
            next(run(nn.Sequential(layer), x, None, 1, sequential_sums=way)).outputs[0]
            for way in (False, True)
        )
        torch.testing.assert_close(again, plain)
        assert not torch.equal(again, plain)


def test_the_requested_number_of_threads_is_used():
    class Threads(nn.Module):
        def forward(self, x):
            return x + torch.get_num_threads()

    before = torch.get_num_threads()
    for threads in (1, 2):
        (layer_call,) = run(nn.Sequential(Threads()), torch.zeros(1), None, threads)
        assert layer_call.outputs[0].item() == threads
    torch.set_num_threads(before)


def test_tensors_are_listed_once_and_replaced_in_place():
    a, b = torch.tensor(1.0), torch.tensor(2.0)
    value = (a, [b, a], "text", None)
    assert unique_tensors(value) == [a, b]
    new = replace_tensors(value, [torch.tensor(5.0), None])
    assert (new[0].item(), new[1][0] is b, new[1][1].item(), new[2:]) == (
        5,
        True,
        5,
        ("text", None),
    )
    assert isinstance(new[1], list)


def test_a_named_tuple_keeps_its_names():
    new = replace_tensors(HeadOutput((ONE,), (ONE + 1,)), [torch.tensor(5.0)])
    assert (new.logits[0].item(), new.reg[0].item()) == (5, 2)


def test_one_at_a_time_is_in_step():
    log = []

    def work(hand_over):
        for i in range(3):
            log.append(f"made {i}")
            hand_over(i)

    for item in iterate_callback(work):
        log.append(f"got {item}")
    assert log == ["made 0", "got 0", "made 1", "got 1", "made 2", "got 2"]


def test_one_at_a_time_raises_what_work_raises():
    def work(hand_over):
        hand_over(1)
        raise KeyError("x")

    going = iterate_callback(work)
    assert next(going) == 1
    with pytest.raises(KeyError):
        next(going)
    assert threading.active_count() == 1


def test_two_at_once_do_not_wait_for_each_other():
    def count(hand_over):
        for i in range(100):
            hand_over(i)

    pairs = zip(iterate_callback(count), iterate_callback(count), strict=True)
    assert list(pairs) == [(i, i) for i in range(100)]
    gc.collect()
    assert threading.active_count() == 1
