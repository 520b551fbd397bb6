"""A training of seconds: a real model on images of noise instead of a dataset."""

from dataclasses import replace

import torch

from picodet.distributed import SingleProcess
from picodet.models.picodet import PicoDet
from picodet.training import checkpoint as checkpoints
from picodet.training.data.batch import Batch, Targets
from picodet.training.init_weights import init_weights
from picodet.training.options import TrainOptions
from picodet.training.recipes.official import RECIPES
from picodet.training.trainer import Trainer

STEPS, EPOCHS = 3, 2
SIDE = 64


def recipe(name="picodet_s_416_coco", **changes):
    official = RECIPES[name]
    schedule = replace(
        official.schedule, base_lr=0.01, epochs=EPOCHS, decay_epochs=EPOCHS, warmup_steps=2
    )
    model = replace(official.model, classes=("a", "b", "c"))
    return replace(official, model=model, schedule=schedule, snapshot_epochs=1, **changes)


def batch(epoch, step, num_images=2):
    """A random batch that depends on epoch and step alone."""
    generator = torch.Generator().manual_seed(100 * epoch + step)
    images = torch.randn(num_images, 3, SIDE, SIDE, generator=generator)
    corner = torch.rand(num_images, 2, 2, generator=generator) * SIDE / 2
    side = 8 + torch.rand(num_images, 2, 2, generator=generator) * (SIDE / 2 - 8)
    classes = torch.randint(0, 3, (num_images, 2), generator=generator)
    boxes = torch.cat([corner, corner + side], dim=2)
    targets = Targets(boxes, classes, torch.ones(num_images, 2, dtype=torch.bool))
    return Batch(images, targets, tuple(10 * step + i for i in range(num_images)))


class FakeLoader:
    """A Loader without files. `trouble` is raised instead of a batch."""

    steps_per_epoch = STEPS

    def __init__(self, trouble=None, at=(-1, -1), changed=None):
        self.trouble, self.at, self.changed = trouble, at, changed

    def epoch(self, number, start=0):
        for step in range(start, STEPS):
            if (number, step) == self.at:
                if self.trouble:
                    raise self.trouble
                yield self.changed(batch(number, step))
            else:
                yield batch(number, step)


def training(out, loader=None, validate=None, show=lambda log: None, **changes):
    """A new training."""
    options = TrainOptions(recipe=recipe(), out=out, batch_size=2, save_steps=2, evaluate_every=1)
    options = replace(options, **changes)
    (out / checkpoints.FOLDER).mkdir(parents=True, exist_ok=True)
    model = PicoDet(options.recipe.model)
    init_weights(model, torch.Generator().manual_seed(0))
    return Trainer(
        options, SingleProcess(), model, loader or FakeLoader(), {"seed": 0}, validate, show
    )


def resumed(out, **options):
    """Resume from the newest checkpoint."""
    found = training(out, **options)
    found.resume(checkpoints.load(checkpoints.newest(out / checkpoints.FOLDER)))
    return found
