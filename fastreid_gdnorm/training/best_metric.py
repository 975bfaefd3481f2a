"""The best metric so far, in checkpoints: a resumed training goes on from it."""


class BestMetric:
    """The best metric of a PeriodicCheckpointer, to be saved and loaded as one of a checkpointer's ``checkpointables``.

    Args:
        hook: fast-reid's PeriodicCheckpointer.
    """

    def __init__(self, hook):
        self._hook = hook

    def state_dict(self):
        best = self._hook.best_metric
        if hasattr(self._hook, "metric_name"):  # in training, where the hook takes in the last test only after saving
            tested, _ = self._hook.trainer.storage.latest().get(self._hook.metric_name, (best, None))
            best = max(best, tested)
        return {"best_metric": best}

    def load_state_dict(self, state):
        self._hook.best_metric = state["best_metric"]
