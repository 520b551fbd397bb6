"""Exponential moving average (EMA) of a model's state: official weights are EMA weights.

ppdet/optimizer/ema.py:29-141. It covers every float of a state_dict: weights, the running
statistics of the batch norms, the head's `project`. Official files hold ppdet's unused
`scale_reg` too, which no model here has.
"""

import math
from typing import Any

import torch
from torch import Tensor

from picodet.models.picodet import PicoDet
from picodet.training.recipes.schema import EMAConfig


class ModelEMA:
    """Tracks the model's state: `update` after each step, `snapshot` where the recipe says.

    Started from zero the EMA is biased towards zero. `snapshot` corrects that as ppdet does, by the
    last decay as if it had been constant: at a rising decay that is too much, by 1.00012
    after a hundred steps. An exponential decay is not corrected at all. Started from the parameters
    there is no bias.

    The EMA restarts after `cycle` snapshots. With one every epoch (ppdet 2.3) a cycle of 40 ends at
    epoch 40, 80 ..; with one every 10 epochs (since 2.4), at epoch 400: never.
    """

    def __init__(self, model: PicoDet, config: EMAConfig) -> None:
        self.model = model
        self.recipe = config
        self.steps = 0  # updates since the EMA (re)started
        self.applications = 0  # snapshots since then
        state = model.state_dict()
        floats = {name: value for name, value in state.items() if value.is_floating_point()}
        self._shapes = {name: value.shape for name, value in floats.items()}
        self._values = torch.empty_like(
            self._model_values()
        )  # all floats, flattened and concatenated
        self._reset()

    def decay(self) -> float:
        """The decay of the last update: the factor of the old EMA, 0 .. 1."""
        max_decay, done = self.recipe.decay, self.steps - 1
        if self.recipe.kind == "threshold":
            return min(max_decay, (1 + done) / (10 + done))
        if self.recipe.kind == "exponential":
            return max_decay * (1 - math.exp(-(done + 1) / 2000))
        return max_decay

    @torch.no_grad()
    def update(self) -> None:
        """Update the EMA with the model's present state."""
        self.steps += 1
        decay = self.decay()
        # two products and a sum, each rounded, as in Paddle
        self._values.mul_(decay).add_(self._model_values().mul_(1 - decay))

    @torch.no_grad()
    def averaged_state_dict(self) -> dict[str, Tensor]:
        """The EMA as a state_dict of copies; zeros if it started from zero and had no update.

        Integers are the model's. Does not count as a snapshot.
        """
        from_zero = self.recipe.start == "zero"
        corrected = from_zero and self.recipe.kind != "exponential" and self.steps > 0
        correction = 1 - self.decay() ** self.steps if corrected else 1.0
        ema_values = self._unflatten(self._values / correction)
        state = {name: value.clone() for name, value in self.model.state_dict().items()}
        return state | ema_values

    def snapshot(self) -> dict[str, Tensor]:
        """`averaged_state_dict`, counted as a snapshot: the last of a cycle restarts the EMA."""
        ema_values = self.averaged_state_dict()
        if self.steps:
            self.applications += 1
            if self.applications == self.recipe.cycle:
                self._reset()
        return ema_values

    def state_dict(self) -> dict[str, Any]:
        """Everything that a checkpoint needs to resume."""
        return {
            "ema": self._unflatten(self._values),
            "steps": self.steps,
            "applications": self.applications,
        }

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from what `state_dict` gave."""
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
        """All floats of the model, flattened: a copy."""
        state = self.model.state_dict()
        return torch.cat([state[name].ravel() for name in self._shapes])

    def _unflatten(self, flat: Tensor) -> dict[str, Tensor]:
        """Copies of the parts of a flat tensor, by name and in their shapes."""
        parts = flat.split([shape.numel() for shape in self._shapes.values()])
        named = zip(self._shapes.items(), parts, strict=True)
        return {name: part.view(shape).clone() for (name, shape), part in named}
