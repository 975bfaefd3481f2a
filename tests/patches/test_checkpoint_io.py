"""Checkpoints are complete, hold what training saves, and run no code when loaded."""

import multiprocessing
import os
import pickle
import signal
import tarfile
import time

import pytest
import torch
from fastreid.engine import DefaultTrainer
from fastreid.utils.checkpoint import Checkpointer

from fastreid_gdnorm.errors import UserError

from .dangerous import Dangerous, ran


def _save_forever(folder):
    model = torch.nn.Linear(1000, 2000)
    for epoch in range(10**6):
        Checkpointer(model, folder).save(f"model_{epoch % 2}", epoch=epoch)


def test_a_kill_at_any_moment_leaves_a_good_last_checkpoint(tmp_path):
    for attempt in range(6):
        process = multiprocessing.get_context("fork").Process(target=_save_forever, args=(str(tmp_path),))
        process.start()
        deadline = time.monotonic() + 20
        while not (tmp_path / "model_1.pth").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.013 * (attempt + 1))
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        checkpointer = Checkpointer(torch.nn.Linear(1000, 2000), str(tmp_path))
        assert checkpointer.load(checkpointer.get_checkpoint_file())["epoch"] >= 0
        for file in tmp_path.glob("*.pth"):
            torch.load(file, weights_only=True)


def test_a_checkpoint_with_all_that_training_saves_loads(tiny):
    cfg = tiny("baseline", "SOLVER.MAX_EPOCH", "1", "SEED", "0")
    DefaultTrainer(cfg).train()
    trainer = DefaultTrainer(cfg)
    left = trainer.checkpointer.load(os.path.join(cfg.OUTPUT_DIR, "model_final.pth"))
    assert left["epoch"] == 0 and 0 < left["metric"] <= 100
    assert trainer.optimizer.state_dict()["state"] and trainer.scheduler["lr_sched"].last_epoch > 0


def test_the_dangerous_object_runs_code_when_it_is_unpickled():
    pickle.loads(pickle.dumps(Dangerous()))
    assert ran.pop() == "code" and not ran


def test_damaged_foreign_and_missing_checkpoints_are_named(tmp_path):
    checkpointer = Checkpointer(torch.nn.Linear(2, 2), str(tmp_path))
    checkpointer.save("good")
    whole = (tmp_path / "good.pth").read_bytes()
    for name, content in (("cut", whole[:-200]), ("empty", b""), ("text", b"no checkpoint")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=f"checkpoint {tmp_path / name} is damaged"):
            checkpointer.load(str(tmp_path / name))
    torch.save({"weight": torch.zeros(2)}, tmp_path / "other")
    with pytest.raises(
        UserError, match="^checkpoint .*other has no entry 'model': fast-reid did not write it"
    ) as caught:
        checkpointer.load(str(tmp_path / "other"))
    assert isinstance(caught.value, KeyError), "projects may catch stock's KeyError"
    torch.save({"model": print}, tmp_path / "code")
    with pytest.raises(UserError, match="code is damaged or holds more than weights"):
        checkpointer.load(str(tmp_path / "code"))
    torch.save({"model": Dangerous()}, tmp_path / "danger")
    with pytest.raises(UserError, match="danger is damaged or holds more than weights"):
        checkpointer.load(str(tmp_path / "danger"))
    with tarfile.open(tmp_path / "tar", "w") as archive:  # the format of torch 0.1
        for name in ("sys_info", "pickle", "storages", "tensors"):
            (tmp_path / name).write_bytes(pickle.dumps(Dangerous()))
            archive.add(tmp_path / name, name)
    with pytest.raises(UserError, match="tar is a tar archive, .* may hold code: name another with MODEL.WEIGHTS"):
        checkpointer.load(str(tmp_path / "tar"))
    assert not ran
    torch.save([1], tmp_path / "list")
    with pytest.raises(UserError, match="list does not fit this model"):
        checkpointer.load(str(tmp_path / "list"))
    with pytest.raises(AssertionError, match="nowhere does not exist"):
        checkpointer.load(str(tmp_path / "nowhere"))
