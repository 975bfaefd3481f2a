"""Ctrl-C at moments when Python loses it, and what a training leaves behind."""

import os
import signal
import subprocess
import time

import pytest

from fastreid_gdnorm import interrupts

from .conftest import command, fastreid, training


@pytest.fixture(autouse=True)
def python_handles_it():
    """Restore Python's handler: shells start background jobs with SIGINT ignored, and children inherit that."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def lost_interrupt():
    """A function that triggers Ctrl-C in the callback after the next fork, where Python drops the exception."""
    armed = []

    def interrupt():
        if armed:
            armed.clear()
            os.kill(os.getpid(), signal.SIGINT)

    os.register_at_fork(after_in_parent=interrupt)
    yield lambda: armed.append(True)
    armed.clear()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_ctrl_c_while_workers_start_ends_the_training(datasets, tmp_path, lost_interrupt, fastreid_here, monkeypatch):
    monkeypatch.setattr(interrupts, "AGAIN", 0.5)
    late = "DATALOADER.NUM_WORKERS 2 SOLVER.MAX_EPOCH 400 TEST.EVAL_PERIOD 400 SOLVER.CHECKPOINT_PERIOD 1".split()
    lost_interrupt()
    start = time.monotonic()
    done = fastreid_here(*training(tmp_path, overrides=late))
    assert done.returncode == 130 and done.stderr.splitlines()[-1] == "fastreid train: stopped"
    assert time.monotonic() - start < 60
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.long
@pytest.mark.parametrize("seconds", [0, 0.05, 0.5])
def test_after_ctrl_c_at_any_moment_the_training_can_be_resumed(datasets, tmp_path, seconds):
    late = "DATALOADER.NUM_WORKERS 2 SOLVER.MAX_EPOCH 400 TEST.EVAL_PERIOD 400 SOLVER.CHECKPOINT_PERIOD 1".split()
    process = subprocess.Popen(
        **command(*training(tmp_path, overrides=late)), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    for line in process.stdout:
        if "Starting training from epoch" in line:
            break
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130 and said.splitlines()[-1] == "fastreid train: stopped", said
    assert "Traceback" not in said
    resumed = fastreid(*training(tmp_path, "--resume", overrides=["DATALOADER.NUM_WORKERS", 2]))
    assert resumed.returncode == 0, resumed.stderr
