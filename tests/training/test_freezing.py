import pytest
import torch
from tracing import SMALL

from picodet.models.picodet import PicoDet
from picodet.training.freezing import freeze, freeze_norms


def test_frozen_norms_use_and_keep_their_statistics_in_training():
    torch.manual_seed(0)
    model = PicoDet(SMALL)
    freeze_norms(model.backbone)
    images = torch.randn(2, 3, 64, 64)
    expected = model.eval().backbone(images)
    before = {name: buffer.clone() for name, buffer in model.backbone.named_buffers()}
    found = model.train().backbone(images)
    assert all(torch.equal(f, e) for f, e in zip(found, expected, strict=True))
    assert all(torch.equal(b, before[name]) for name, b in model.backbone.named_buffers())
    trained = {name for name, p in model.backbone.named_parameters() if p.requires_grad}
    assert trained == {n for n, _ in model.backbone.named_parameters() if ".bn." not in n}


@pytest.mark.parametrize(
    ("what", "untrained"),
    [("nothing", set()), ("backbone norms", {"bn"}), ("backbone", {"bn", "conv", "se"})],
)
def test_what_is_not_trained(what, untrained):
    model = PicoDet(SMALL).train()
    freeze(model, what)
    parts = {
        name.split(".")[-2].replace("reduce", "se").replace("expand", "se")
        for name, parameter in model.named_parameters()
        if not parameter.requires_grad
    }
    assert parts == untrained
    assert all(p.requires_grad for p in [*model.neck.parameters(), *model.head.parameters()])
    model.backbone(torch.ones(2, 3, 64, 64))
    followed = model.backbone.stem.bn.running_mean.any().item()
    assert followed == (what == "nothing")
