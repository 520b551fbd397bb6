"""The moving average of a model's state, which is what official weights are.

ppdet/optimizer/ema.py:29-141. It averages everything that a checkpoint holds: weights, the running
statistics of the batch norms, the head's `project`. Official files hold ppdet's unused `scale_reg`
too, which no model of ours has.
"""

import math
from typing import Any

import torch
from torch import Tensor

from picodet.models.picodet import PicoDet
from picodet.training.recipes.schema import EMAConfig


class ModelEMA:
    """Follows the model's state: `update` after each step, `snapshot` where the recipe says.

    Started from zero it is too small by what has not been averaged yet. `snapshot` corrects that as
    ppdet does, by the last decay as if it had been the same all the time: at a rising decay that is
    too much, by 1.00012 after a hundred steps. An exponential decay is not set right at all.
    Started from the parameters nothing is missing.

    `cycle` counts applications: after that many the average begins again, once the one that was
    asked for has been given. Applied every epoch (ppdet 2.3) 40 is reached at epoch 40, 80 ..;
    applied at snapshots every 10 epochs (since 2.4), at epoch 400: never.
    """

    def __init__(self, model: PicoDet, config: EMAConfig) -> None:
        self.model = model
        self.recipe = config
        self.steps = 0  # updates since it began
        self.applications = 0  # since it began
        state = model.state_dict()
        floats = {name: value for name, value in state.items() if value.is_floating_point()}
        self._shapes = {name: value.shape for name, value in floats.items()}
        self._values = torch.empty_like(self._model_values())  # all of it, one behind the other
        self._reset()

    def decay(self) -> float:
        """What the last update kept of the average."""
        max_decay, done = self.recipe.decay, self.steps - 1
        if self.recipe.kind == "threshold":
            return min(max_decay, (1 + done) / (10 + done))
        if self.recipe.kind == "exponential":
            return max_decay * (1 - math.exp(-(done + 1) / 2000))
        return max_decay

    @torch.no_grad()
    def update(self) -> None:
        """Take in the model as it is."""
        self.steps += 1
        decay = self.decay()
        # two products and a sum, each rounded, as in Paddle
        self._values.mul_(decay).add_(self._model_values().mul_(1 - decay))

    @torch.no_grad()
    def averaged_state_dict(self) -> dict[str, Tensor]:
        """A state_dict; zeros where it started from zero and there was no update.

        Integers are the model's. What is returned stays as it is.
        """
        from_zero = self.recipe.start == "zero"
        corrected = from_zero and self.recipe.kind != "exponential" and self.steps > 0
        correction = 1 - self.decay() ** self.steps if corrected else 1.0
        ema_values = self._unflatten(self._values / correction)
        state = {name: value.clone() for name, value in self.model.state_dict().items()}
        return state | ema_values

    def snapshot(self) -> dict[str, Tensor]:
        """`averaged_state_dict`, which counts as one of the cycle's applications."""
        ema_values = self.averaged_state_dict()
        if self.steps:
            self.applications += 1
            if self.applications == self.recipe.cycle:
                self._reset()
        return ema_values

    def state_dict(self) -> dict[str, Any]:
        """All there is, for a training that goes on later."""
        return {
            "ema": self._unflatten(self._values),
            "steps": self.steps,
            "applications": self.applications,
        }

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self._values.copy_(torch.cat([state["ema"][name].ravel() for name in self._shapes]))
        self.steps, self.applications = state["steps"], state["applications"]

    @torch.no_grad()
    def _reset(self) -> None:
        self.steps = self.applications = 0
        if self.recipe.start == "zero":
            self._values.zero_()
        else:
            self._values.copy_(self._model_values())

    def _model_values(self) -> Tensor:
        """All floats of the model, a copy."""
        state = self.model.state_dict()
        return torch.cat([state[name].ravel() for name in self._shapes])

    def _unflatten(self, flat: Tensor) -> dict[str, Tensor]:
        """Copies of its parts, in their shapes."""
        parts = flat.split([shape.numel() for shape in self._shapes.values()])
        named = zip(self._shapes.items(), parts, strict=True)
        return {name: part.view(shape).clone() for (name, shape), part in named}
