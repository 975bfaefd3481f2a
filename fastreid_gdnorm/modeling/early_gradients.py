"""Computes the gradients of a step's losses pass by pass, so that only one pass is in memory."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

logger = logging.getLogger("fastreid.gdnorm.early_gradients")


class EarlyGradients:
    """Computes gradients of some losses early, and adds them in the step's own backward pass.

    Args:
        parameters: the model's parameters; frozen ones are ignored.
        scale: the factor by which the trainer multiplies its losses (``GradScaler``), so that small gradients do not
            vanish in half precision.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], scale: float = 1.0) -> None:
        self._parameters = [parameter for parameter in parameters if parameter.requires_grad]
        self._gradients: list[Tensor | None] = [None] * len(self._parameters)
        self._scale = scale

    def take(self, losses: dict[str, Tensor], share: float) -> dict[str, Tensor]:
        """Compute and keep the gradient of ``share`` times the sum of the losses; return them without graph.

        Call this while the path of the losses is followed, because activation checkpointing runs layers again. If only
        the step's own backward pass can compute the gradients, the losses are returned unchanged, and the log says why,
        once.
        """
        total = torch.stack([loss.reshape(()) for loss in losses.values()]).sum()
        if total.requires_grad:
            reason = self._why_late(total)
            if reason:
                say_late(reason)
                return losses
            with torch.autocast(total.device.type, enabled=False):  # trainers leave autocast before the backward pass
                new = torch.autograd.grad(total * (share * self._scale), self._parameters, allow_unused=True)
            self._gradients = [_sum(*both) for both in zip(self._gradients, new)]
        return {name: loss.detach().requires_grad_(loss.requires_grad) for name, loss in losses.items()}

    def attach(self, losses: dict[str, Tensor]) -> dict[str, Tensor]:
        """Attach the kept gradients to the losses of the whole step, whose backward pass then adds them.

        The trainer must add up the losses with equal weights, as fast-reid's trainers do. Losses that need no gradient
        are returned unchanged, and so are all losses if no gradients were kept.
        """
        trained = {name: loss for name, loss in losses.items() if loss.requires_grad}
        if all(gradient is None for gradient in self._gradients):
            return losses
        values = _Attached.apply(self._gradients, self._scale, len(trained), *trained.values(), *self._parameters)
        return {**losses, **dict(zip(trained, values))}

    def _why_late(self, total: Tensor) -> str:
        """Why gradients cannot be computed early, or ""."""
        if any(parameter._backward_hooks for parameter in self._parameters):
            return "a hook on a parameter must see the gradient of the whole step"
        own = set(map(id, self._parameters))
        beyond = {parameter.grad_fn for parameter in self._parameters}  # None for leaves
        for node in _nodes(total, beyond):
            kind = type(node).__name__
            if kind == "CheckpointFunctionBackward":
                return "checkpoint(..., use_reentrant=True) works only in a full backward pass"
            if kind == "AccumulateGrad" and id(node.variable) not in own:
                return "something besides the model's parameters requires a gradient (images, another network)"
        return ""


def say_late(reason: str) -> None:
    """Warn that a step keeps all its passes in memory, once for each reason."""
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
                "create_graph=True needs the graph of the gradients, but they were computed early, without one: set "
                "MODEL.GDNORM.EARLY_GRADIENTS False"
            )
        factors = {float(of_loss) for of_loss in of_losses}
        if len(factors) > 1:
            raise RuntimeError(
                "losses have different weights, but gradients of their sum were computed early: set "
                "MODEL.GDNORM.EARLY_GRADIENTS False"
            )
        factor = factors.pop() / ctx.scale
        taken = (g if g is None or factor == 1 else g * factor for g in ctx.gradients)
        return (None, None, None, *of_losses, *taken)


def _nodes(total: Tensor, beyond: Iterable[Any]) -> Iterator[Any]:
    """The nodes of a tensor's graph, up to those in ``beyond``."""
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
