"""Gradients of some of a step's losses, taken before the others are computed, so that only one pass is in memory."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class EarlyGradients:
    """Takes gradients of losses at once, and adds them to those of the step's own backward pass.

    Args:
        parameters: of the model; those that are not trained are left out.
        scale: what the trainer multiplies its losses by (``GradScaler``), so that small gradients outlive half
            precision.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], scale: float = 1.0) -> None:
        self._parameters = [parameter for parameter in parameters if parameter.requires_grad]
        self._gradients: list[Tensor | None] = [None] * len(self._parameters)
        self._scale = scale

    def take(self, losses: dict[str, Tensor], share: float) -> dict[str, Tensor]:
        """The losses without what they were computed from; the gradient of ``share`` times their sum is kept."""
        total = torch.stack([*losses.values()]).sum() * (share * self._scale)
        if total.requires_grad:
            with torch.autocast(total.device.type, enabled=False):  # as trainers leave it before their backward pass
                new = torch.autograd.grad(total, self._parameters, allow_unused=True)
            self._gradients = [_sum(*both) for both in zip(self._gradients, new)]
        return {name: loss.detach() for name, loss in losses.items()}

    def attach(self, losses: dict[str, Tensor]) -> dict[str, Tensor]:
        """The losses of the whole step, whose backward pass brings what was taken with it.

        They are to be added up, all with the same weight, as fast-reid's trainers do; where nothing was taken, they are
        as they came.
        """
        if all(gradient is None for gradient in self._gradients):
            return losses
        values = _Attached.apply(self._gradients, self._scale, len(losses), *losses.values(), *self._parameters)
        return dict(zip(losses, values))


class _Attached(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, gradients: list[Tensor | None], scale: float, number: int, *losses_and_parameters: Tensor
    ) -> tuple[Tensor, ...]:
        ctx.gradients, ctx.scale = gradients, scale
        return tuple(loss.clone() for loss in losses_and_parameters[:number])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *of_losses: Tensor) -> tuple[Tensor | None, ...]:
        factors = set(torch.stack(of_losses).tolist())
        if len(factors) > 1:
            raise RuntimeError(
                "the gradients of some losses are taken already, of their sum: to weigh the losses, set "
                "MODEL.GDNORM.EARLY_GRADIENTS False"
            )
        factor = factors.pop() / ctx.scale
        taken = (g if g is None or factor == 1 else g * factor for g in ctx.gradients)
        return (None, None, None, *of_losses, *taken)


def _sum(one: Tensor | None, other: Tensor | None) -> Tensor | None:
    if one is None or other is None:
        return one if other is None else other
    return one + other
