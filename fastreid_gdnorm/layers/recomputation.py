"""Parts of a pass that run again in the backward pass, as ``torch.utils.checkpoint`` has them to save memory."""

from __future__ import annotations

import weakref

import torch

from .paths import Path

KEPT = 64  # changes of path that a layer remembers: more than lie between a pass and its gradients


def in_backward_pass() -> bool:
    """Whether this thread is computing gradients, so that whatever a layer is given now, it was given before."""
    return not torch.compiler.is_compiling() and torch._C._current_graph_task_id() != -1


class PathHistory:
    """Which paths a layer was put on and when, in autograd's own time: the number of the next node of its graph.

    It never changes, as replicas of a layer (``DataParallel``) share what it has.

    Args:
        changes: (number, path), the last one last.
    """

    def __init__(self, changes: tuple[tuple[int, weakref.ref[Path]], ...]) -> None:
        self._changes = changes

    @classmethod
    def starting_on(cls, path: Path) -> PathHistory:
        """The history of a new layer, which rests on ``path`` in every thread, each of which counts for itself."""
        return cls(((0, weakref.ref(path)),))

    def and_now(self, path: Path) -> PathHistory:
        """The history of a layer that is put on ``path`` now; by what runs again, if this is the backward pass."""
        number = 0 if in_backward_pass() else torch._C._autograd._get_sequence_nr()
        return PathHistory((*self._changes[1 - KEPT :], (number, weakref.ref(path))))

    def is_of_this_backward_pass(self, path: Path) -> bool:
        """Whether ``path`` was followed when the node whose gradient is being computed was made."""
        node = torch._C._current_autograd_node()
        number = -1 if node is None else node._sequence_nr()
        then = next((followed for since, followed in reversed(self._changes) if since <= number), None)
        return then is not None and then() is path
