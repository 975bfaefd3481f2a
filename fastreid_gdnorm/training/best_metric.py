"""The best metric so far, saved in checkpoints so that a resumed training keeps it."""

from __future__ import annotations

from typing import Any


class BestMetric:
    """The best metric of a PeriodicCheckpointer, for a checkpointer's ``checkpointables``.

    Args:
        hook: fast-reid's PeriodicCheckpointer.
    """

    def __init__(self, hook: Any) -> None:
        self._hook = hook

    def state_dict(self) -> dict[str, Any]:
        best = self._hook.best_metric
        if hasattr(self._hook, "metric_name"):  # set once training starts; the hook updates its best only after saving
            tested, _ = self._hook.trainer.storage.latest().get(self._hook.metric_name, (best, None))
            best = max(best, tested)
        return {"best_metric": best}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._hook.best_metric = state["best_metric"]
