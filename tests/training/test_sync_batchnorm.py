"""Two processes with gloo against one with the doubled batch, in float64."""

import os
import socket

import numpy as np
import pytest
import torch
from torch import distributed, multiprocessing, nn

from picodet.models.layers import BatchNorm2d
from picodet.training.sync_batchnorm import SyncBatchNorm2d, convert_sync_batchnorm


def network():
    """Two norms, with something between them."""
    torch.manual_seed(0)
    model = nn.Sequential(
        BatchNorm2d(3), nn.Conv2d(3, 4, 3, padding=1), nn.Hardswish(), BatchNorm2d(4)
    ).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return model


def make_images():
    torch.manual_seed(1)
    return torch.randn(5, 3, 6, 4, dtype=torch.float64) * 2 + 1


def run(model, images):
    """Outputs, gradients of the input and of the parameters, statistics: of a sum over images."""
    images = images.clone().requires_grad_()
    y = model.train()(images)
    factors = torch.arange(y.shape[1:].numel(), dtype=torch.float64).view(y.shape[1:]).cos()
    (y * factors * images.mean((1, 2, 3), keepdim=True)).sum().backward()
    gradients = {name: p.grad for name, p in model.named_parameters()}
    return y.detach(), images.grad, gradients, dict(model.named_buffers())


def rank_main(rank, port, split, folder):
    torch.set_num_threads(1)
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    distributed.init_process_group("gloo", rank=rank, world_size=2)
    model = network()
    convert_sync_batchnorm(model)
    part = make_images()[:split] if rank == 0 else make_images()[split:]
    torch.save(run(model, part), folder / f"{rank}.pth")
    distributed.destroy_process_group()


@pytest.mark.slow
@pytest.mark.parametrize("split", [2, 1, 5], ids=["2_and_3", "1_and_4", "5_and_none"])
def test_two_ranks_are_one_with_all_images(tmp_path, split):
    """Measured: 2e-15 of the greatest value."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    multiprocessing.spawn(rank_main, (port, split, tmp_path), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pth") for rank in range(2))
    y, of_images, gradients, buffers = run(network(), make_images())
    assert_near(torch.cat([first[0], second[0]]), y)
    assert_near(torch.cat([first[1], second[1]]), of_images)
    for name, gradient in gradients.items():
        assert_near(first[2][name] + second[2][name], gradient)
    for name, buffer in buffers.items():
        assert_near(first[3][name], buffer)
        assert_near(second[3][name], buffer)


def assert_near(found, expected):
    scale = max(np.abs(expected.numpy()).max(), 1)
    assert np.abs(found.numpy() - expected.numpy()).max() < 1e-12 * scale


def test_all_norms_are_turned_and_keep_their_tensors():
    model = network()
    model[0].frozen = True
    tensors = model.state_dict(keep_vars=True)
    convert_sync_batchnorm(model)
    assert [type(model[i]) for i in (0, 3)] == [SyncBatchNorm2d] * 2
    after = model.state_dict(keep_vars=True)
    assert list(after) == list(tensors)
    assert all(after[name] is tensors[name] for name in tensors)
    assert (model[0].frozen, model[3].frozen) == (True, False)


def test_torch_before_2_5_sets_no_submodules(monkeypatch):
    monkeypatch.delattr(nn.Module, "set_submodule", raising=False)
    model = nn.Sequential(network(), BatchNorm2d(4))
    convert_sync_batchnorm(model)
    turned = [isinstance(layer, SyncBatchNorm2d) for layer in model.modules()]
    assert turned.count(True) == 3
    assert isinstance(model[0][3], SyncBatchNorm2d)


def test_in_eval_mode_and_frozen_no_other_rank_is_asked():
    """There is no process group here."""
    model = network()
    expected = model.eval()(make_images())
    convert_sync_batchnorm(model)
    assert torch.equal(model(make_images()), expected)
    for layer in (model[0], model[3]):
        layer.frozen = True
    assert torch.equal(model.train()(make_images()), expected)
