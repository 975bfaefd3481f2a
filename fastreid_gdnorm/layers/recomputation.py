"""Activation checkpointing (``torch.utils.checkpoint``): parts of the forward pass run again in the backward pass."""

from __future__ import annotations

import weakref

import torch

from .paths import Path

KEPT = 64  # path changes that a layer remembers: more than happen between a pass and its gradients


def in_backward_pass() -> bool:
    """Whether this thread is computing gradients, so a layer that runs now is running for the second time."""
    return not torch.compiler.is_compiling() and torch._C._current_graph_task_id() != -1


class PathHistory:
    """Which paths a layer was put on, and when. Time is autograd's own: the sequence number of its next node.

    A history is immutable, because replicas of a layer (``DataParallel``) share it.

    Args:
        changes: (number, path) in the order of time.
    """

    def __init__(self, changes: tuple[tuple[int, weakref.ref[Path]], ...]) -> None:
        self._changes = changes

    @classmethod
    def starting_on(cls, path: Path) -> PathHistory:
        """The history of a new layer, on ``path`` since time 0, because every thread has its own sequence numbers."""
        return cls(((0, weakref.ref(path)),))

    def and_now(self, path: Path) -> PathHistory:
        """This history plus a change to ``path`` now.

        In the backward pass, the change is made by a part of the model that runs again, and counts from time 0.
        """
        number = 0 if in_backward_pass() else torch._C._autograd._get_sequence_nr()
        return PathHistory((*self._changes[1 - KEPT :], (number, weakref.ref(path))))

    def is_of_this_backward_pass(self, path: Path) -> bool:
        """Whether ``path`` was followed when the node whose gradient is now being computed was created."""
        node = torch._C._current_autograd_node()
        number = -1 if node is None else node._sequence_nr()
        then = next((followed for since, followed in reversed(self._changes) if since <= number), None)
        return then is not None and then() is path
