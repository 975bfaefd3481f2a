"""Gradients of a step's losses, taken pass by pass, so that only one pass is in memory."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

logger = logging.getLogger("fastreid.gdnorm.early_gradients")


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
        """The losses without what they were computed from; the gradient of ``share`` times their sum is kept.

        To be called while the path of these losses is followed, as activation checkpointing then runs layers again.
        Where the step's own backward pass has to take the gradients, the losses come back as they are, and the log says
        why once.
        """
        total = torch.stack([loss.reshape(()) for loss in losses.values()]).sum()
        if total.requires_grad:
            reason = self._why_late(total)
            if reason:
                say_late(reason)
                return losses
            with torch.autocast(total.device.type, enabled=False):  # as trainers leave it before their backward pass
                new = torch.autograd.grad(total * (share * self._scale), self._parameters, allow_unused=True)
            self._gradients = [_sum(*both) for both in zip(self._gradients, new)]
        return {name: loss.detach().requires_grad_(loss.requires_grad) for name, loss in losses.items()}

    def attach(self, losses: dict[str, Tensor]) -> dict[str, Tensor]:
        """The losses of the whole step, whose backward pass brings what was taken with it.

        They are to be added up, all with the same weight, as fast-reid's trainers do; where nothing was taken, they are
        as they came. So are those that need no gradient.
        """
        trained = {name: loss for name, loss in losses.items() if loss.requires_grad}
        if all(gradient is None for gradient in self._gradients):
            return losses
        values = _Attached.apply(self._gradients, self._scale, len(trained), *trained.values(), *self._parameters)
        return {**losses, **dict(zip(trained, values))}

    def _why_late(self, total: Tensor) -> str:
        """What only the step's own backward pass does right; empty if nothing."""
        if any(parameter._backward_hooks for parameter in self._parameters):
            return "a hook on a parameter has to see the gradient of the whole step"
        own = set(map(id, self._parameters))
        beyond = {parameter.grad_fn for parameter in self._parameters}  # None, unless they are computed themselves
        for node in _nodes(total, beyond):
            kind = type(node).__name__
            if kind == "CheckpointFunctionBackward":
                return "checkpoint(..., use_reentrant=True) has no gradients but in a whole backward pass"
            if kind == "AccumulateGrad" and id(node.variable) not in own:
                return "not only the model's parameters require gradients (images, another network)"
        return ""


def say_late(reason: str) -> None:
    """Log, each reason once, that a step keeps all of its passes in memory."""
    if reason not in _said:
        _said.add(reason)
        logger.warning("MODEL.GDNORM.EARLY_GRADIENTS: %s, so all passes of a step stay in memory", reason)


_said: set[str] = set()


class _Attached(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, gradients: list[Tensor | None], scale: float, number: int, *losses_and_parameters: Tensor
    ) -> tuple[Tensor, ...]:
        ctx.gradients, ctx.scale = gradients, scale
        return tuple(loss.clone() for loss in losses_and_parameters[:number])

    @staticmethod
    def backward(ctx: Any, *of_losses: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            raise RuntimeError(
                "create_graph=True needs the graph of the gradients, which are taken already without one: set "
                "MODEL.GDNORM.EARLY_GRADIENTS False"
            )
        factors = {float(of_loss) for of_loss in of_losses}
        if len(factors) > 1:
            raise RuntimeError(
                "the gradients of some losses are taken already, of their sum: to weigh the losses, set "
                "MODEL.GDNORM.EARLY_GRADIENTS False"
            )
        factor = factors.pop() / ctx.scale
        taken = (g if g is None or factor == 1 else g * factor for g in ctx.gradients)
        return (None, None, None, *of_losses, *taken)


def _nodes(total: Tensor, beyond: Iterable[Any]) -> Iterator[Any]:
    """The nodes of a tensor's graph, not those ``beyond`` nor what is behind these."""
    seen, waiting = set(beyond), [total.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            yield node
            waiting += [before for before, _ in node.next_functions]


def _sum(one: Tensor | None, other: Tensor | None) -> Tensor | None:
    if one is None or other is None:
        return one if other is None else other
    return one + other
