"""A progress bar for training in a terminal."""

from __future__ import annotations

import math
import os
from pathlib import Path

from fastreid.engine.hooks import HookBase
from tqdm import tqdm

# environment variable: the terminal line of the bar, for trainings that run side by side
LINE = "FASTREID_PROGRESS_LINE"


class ProgressBar(HookBase):
    """Shows the iterations done, the loss and the time left; prints nothing if stderr is not a terminal."""

    def before_train(self) -> None:
        self._bar = tqdm(
            desc=f"training {Path(self.trainer.cfg.OUTPUT_DIR).name}",
            total=self.trainer.max_iter,
            initial=self.trainer.start_iter,
            position=int(os.environ.get(LINE, 0)),
            leave=LINE not in os.environ,
            unit="it",
            disable=None,
        )

    def after_step(self) -> None:
        loss, _ = self.trainer.storage.latest().get("total_loss", (math.nan, None))  # none yet if steps were skipped
        self._bar.set_postfix(epoch=self.trainer.epoch + 1, loss=f"{loss:.2f}", refresh=False)
        self._bar.update()

    def after_train(self) -> None:
        self._bar.close()
