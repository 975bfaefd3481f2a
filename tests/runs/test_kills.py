"""Trainings that are really killed, and resumed."""

import re
import signal
import subprocess
import time

import pytest
import torch
from fastreid.engine import DefaultTrainer
from fastreid.engine.hooks import PeriodicCheckpointer
from fastreid.utils.events import EventStorage

from fastreid_gdnorm.disk import locked

from ..conftest import command, training
from .toy import metrics, one_line

# config, workers, epochs between tests, the checkpoint after which to kill the training (None: before the first)
KILLS = [
    ("gdnorm", 0, 1, "model_0001"),
    pytest.param("gdnorm", 2, 4, "model_0001", marks=pytest.mark.long),
    pytest.param("baseline", 0, 4, None, marks=pytest.mark.long),
]


@pytest.mark.parametrize("config, workers, eval_period, checkpoint", KILLS)
def test_a_killed_and_resumed_training_ends_with_the_metrics_of_an_uninterrupted_one(
    datasets, tmp_path, config, workers, eval_period, checkpoint, fastreid_here
):
    longer = f"SOLVER.MAX_EPOCH 4 DATALOADER.NUM_WORKERS {workers} TEST.EVAL_PERIOD {eval_period}".split()
    unbroken, broken = tmp_path / "unbroken", tmp_path / "broken"
    assert fastreid_here(*training(unbroken, config=config, overrides=longer)).returncode == 0

    # to kill it before its first checkpoint, move that far away
    late = "SOLVER.MAX_EPOCH 400 SOLVER.CHECKPOINT_PERIOD 400 TEST.EVAL_PERIOD 400".split()
    words = training(broken, config=config, overrides=[*longer, *([] if checkpoint else late)])
    process = subprocess.Popen(**command(*words), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    sign = broken / f"{checkpoint}.pth" if checkpoint else broken / "metrics.json"
    deadline = time.monotonic() + 120
    while not (sign.exists() and sign.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it was still running"
    with open(broken / "metrics.json", "a") as file:
        file.write('{"iteration": 14, "total_lo')  # a kill can leave an unfinished line

    resumed = fastreid_here(*training(broken, "--resume", config=config, overrides=longer))
    assert resumed.returncode == 0, resumed.stderr
    # 1: killed after it wrote the checkpoint, before last_checkpoint named that
    assert re.search(rf"Starting training from epoch {'[123]' if checkpoint else 0}\b", resumed.stdout)
    assert metrics(broken) == metrics(unbroken)

    again = fastreid_here(*training(broken, "--resume", config=config, overrides=longer))
    assert again.returncode == 0 and "Training had already finished" in again.stdout
    assert metrics(broken) == metrics(unbroken)


def test_a_second_training_in_one_folder_is_refused_until_the_first_is_killed(datasets, tmp_path, fastreid_here):
    late = "DATALOADER.NUM_WORKERS 2 SOLVER.MAX_EPOCH 400 SOLVER.CHECKPOINT_PERIOD 400 TEST.EVAL_PERIOD 400".split()
    words = command(*training(tmp_path, overrides=late))
    process = subprocess.Popen(**words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        while "Starting training from epoch" not in process.stdout.readline():
            assert process.poll() is None
        config = (tmp_path / "config.yaml").read_text()
        for flags in [], ["--resume"], ["--eval-only"]:
            line = one_line(fastreid_here(*training(tmp_path, *flags)))
            assert f"another process is working in {tmp_path}" in line
        assert (tmp_path / "config.yaml").read_text() == config
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    with locked(tmp_path):
        pass  # no wait, although workers of the killed training may still run


def test_a_resumed_training_keeps_its_gradient_scale_and_its_best_metric(tiny):
    cfg = tiny("gdnorm", "SOLVER.MAX_EPOCH", "2")
    trainer = DefaultTrainer(cfg)
    trainer.checkpointer.save("before_training")
    trainer._trainer.grad_scaler = torch.amp.GradScaler("cpu", init_scale=128.0)
    trainer._hooks.clear()
    trainer.register_hooks(trainer.build_hooks())
    (hook,) = [hook for hook in trainer._hooks if isinstance(hook, PeriodicCheckpointer)]
    with EventStorage() as trainer.storage:
        hook.before_train()
        for epoch, tested in (0, 12.5), (1, 10.0), (1, 25.0):
            trainer.storage.put_scalar("metric", tested, smoothing_hint=False)
            hook.step(epoch, metric=tested)
            best = torch.load(trainer.checkpointer.get_checkpoint_file(), weights_only=True)["best_metric"]
            assert best == {"best_metric": max(12.5, tested)}

    resumed = DefaultTrainer(cfg)
    resumed._trainer.grad_scaler = torch.amp.GradScaler("cpu")
    resumed._hooks.clear()
    resumed.register_hooks(resumed.build_hooks())
    resumed.resume_or_load(resume=True)
    assert resumed.grad_scaler.get_scale() == 128.0
    (hook,) = [hook for hook in resumed._hooks if isinstance(hook, PeriodicCheckpointer)]
    assert hook.best_metric == 25.0
