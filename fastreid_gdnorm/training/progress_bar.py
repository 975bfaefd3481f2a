"""Training's progress on a terminal."""

import math
import os
from pathlib import Path

from fastreid.engine.hooks import HookBase
from tqdm import tqdm

LINE = "FASTREID_PROGRESS_LINE"  # of the environment: how far down a training that runs beside others has its bar


class ProgressBar(HookBase):
    """A bar over all iterations with the loss and the time left; silent where stderr is no terminal."""

    def before_train(self):
        self._bar = tqdm(
            desc=f"training {Path(self.trainer.cfg.OUTPUT_DIR).name}",
            total=self.trainer.max_iter,
            initial=self.trainer.start_iter,
            position=int(os.environ.get(LINE, 0)),
            leave=LINE not in os.environ,
            unit="it",
            disable=None,
        )

    def after_step(self):
        loss, _ = self.trainer.storage.latest().get("total_loss", (math.nan, None))  # none yet, if a step was skipped
        self._bar.set_postfix(epoch=self.trainer.epoch + 1, loss=f"{loss:.2f}", refresh=False)
        self._bar.update()

    def after_train(self):
        self._bar.close()
