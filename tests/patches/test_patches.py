"""Every patch: each test fails on stock fastreid 1.4.0 without it."""

import contextlib
import copy
import functools
import json
import logging
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import tarfile
import threading
import time
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from fastreid.data import build_reid_test_loader, build_reid_train_loader
from fastreid.data.data_utils import BackgroundGenerator
from fastreid.engine import DefaultTrainer
from fastreid.engine.train_loop import AMPTrainer, SimpleTrainer
from fastreid.evaluation import ReidEvaluator
from fastreid.modeling.losses.utils import euclidean_dist
from fastreid.modeling.meta_arch import build_model
from fastreid.solver import build_optimizer
from fastreid.utils.checkpoint import Checkpointer
from fastreid.utils.events import CommonMetricPrinter, EventStorage

from fastreid_gdnorm.errors import UserError

from ..conftest import REPOSITORY


def python(code, **options):
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    return subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=120, **options)


def test_imports_work_and_leave_no_removed_names_behind(tmp_path):
    done = python(
        "import collections, sys; had_mapping = hasattr(collections, 'Mapping')\n"
        "import fastreid_gdnorm, fastreid_gdnorm as again\n"
        "import fastreid.engine, fastreid.data.build, fastreid.evaluation.testing\n"
        "assert hasattr(collections, 'Mapping') == had_mapping and 'torch._six' not in sys.modules",
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr


def test_without_fastreid_it_says_what_to_type():
    done = python("import sys; sys.modules['fastreid'] = None; import fastreid_gdnorm")
    assert done.stderr.strip().endswith(
        "ImportError: fastreid_gdnorm needs fast-reid: pip install --no-deps fastreid==1.4.0"
    )


def test_stock_configs_train_resume_and_evaluate(tiny):
    cfg = tiny("baseline", "SOLVER.MAX_EPOCH", "1")
    assert (cfg.MODEL.META_ARCHITECTURE, cfg.DATALOADER.SAMPLER_TRAIN) == ("Baseline", "NaiveIdentitySampler")
    assert ("cuda" if torch.cuda.is_available() else "cpu") == cfg.MODEL.DEVICE
    DefaultTrainer(cfg).train()
    cfg.SOLVER.MAX_EPOCH = 2
    trainer = DefaultTrainer(cfg)
    trainer.resume_or_load(resume=True)
    assert trainer.start_epoch == 1
    results = trainer.train()
    assert 0 < results["mAP"] <= 100
    fresh = DefaultTrainer.build_model(cfg)
    Checkpointer(fresh).load(os.path.join(cfg.OUTPUT_DIR, "model_final.pth"))
    assert DefaultTrainer.test(cfg, fresh)["mAP"] == results["mAP"]


@pytest.mark.parametrize("workers", ["0", "2"])
def test_an_unreadable_image_reaches_the_caller_and_names_its_file(tiny, tmp_path, monkeypatch, workers):
    cfg = tiny("baseline", "DATALOADER.NUM_WORKERS", workers)
    loader = build_reid_train_loader(cfg)
    broken = tmp_path / "0001_c1s1_000001_00.jpg"
    broken.write_bytes(Path(loader.dataset.img_items[0][0]).read_bytes()[:300])
    loader.dataset.img_items = [(str(broken), *item[1:]) for item in loader.dataset.img_items]
    with pytest.raises(UserError, match=f"cannot read image {broken}.*replace it or take it away"):
        next(iter(loader))


def test_an_error_in_the_prefetching_thread_does_not_hang_its_reader():
    def batches():
        yield from ()
        raise UserError("broken")

    caught = []

    def read():
        try:
            list(BackgroundGenerator(batches(), 0))
        except Exception as error:  # without CUDA, already choosing the device fails in the thread
            caught.append(error)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    reader.join(20)
    assert not reader.is_alive() and caught


def test_the_data_root_is_read_when_it_is_used(tiny, tmp_path, monkeypatch):
    cfg = tiny("baseline", "DATASETS.NAMES", "('Market1501',)", "DATASETS.TESTS", "('DukeMTMC',)")
    monkeypatch.setenv("FASTREID_DATASETS", str(tmp_path / "elsewhere"))
    with pytest.raises(UserError, match=f'Market1501: "{tmp_path}/elsewhere.* is not found; FASTREID_DATASETS'):
        build_reid_train_loader(cfg)
    with pytest.raises(UserError, match=f'DukeMTMC: "{tmp_path}/elsewhere.* is not found; FASTREID_DATASETS'):
        build_reid_test_loader(cfg, dataset_name="DukeMTMC")


def test_the_flat_optimizer_steps_as_torchs_own_does(tiny):
    cfg = tiny("baseline", "SOLVER.BASE_LR", "0.1", "SOLVER.OPT", "SGD", "SOLVER.MOMENTUM", "0.5")
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(5, 4), torch.nn.Linear(4, 3))
    reference = torch.nn.Sequential(torch.nn.Linear(5, 4), torch.nn.Linear(4, 3))
    reference.load_state_dict(model.state_dict())
    ours, _ = build_optimizer(cfg, model)
    theirs = torch.optim.SGD(reference.parameters(), lr=0.1, momentum=0.5, weight_decay=cfg.SOLVER.WEIGHT_DECAY)
    for _ in range(3):
        x = torch.randn(6, 5)
        for optimizer, net in ((ours, model), (theirs, reference)):
            loss = net(x).square().sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    for mine, own in zip(model.parameters(), reference.parameters()):
        assert torch.allclose(mine, own, atol=1e-6)


def test_amp_without_cuda_is_said_at_once(tiny):
    with pytest.raises(UserError, match="SOLVER.AMP.ENABLED needs CUDA.*set SOLVER.AMP.ENABLED False"):
        DefaultTrainer(tiny("baseline", "SOLVER.AMP.ENABLED", "True", "MODEL.DEVICE", "cpu"))


@pytest.mark.parametrize("autocast", [False, True])
def test_distances_of_large_features_are_right_in_half_precision(autocast):
    x = torch.randn(6, 512, generator=torch.Generator().manual_seed(0))
    x = torch.nn.functional.normalize(x) * 300
    expected = (x[:, None] - x[None]).norm(dim=2) + torch.eye(6)  # the distance to oneself is rounding alone
    with torch.autocast("cpu", dtype=torch.float16, enabled=autocast):
        found = euclidean_dist(x if autocast else x.half(), x if autocast else x.half())
    assert found.dtype == torch.float32
    assert torch.allclose(found.fill_diagonal_(1), expected.fill_diagonal_(1), rtol=0.01)


class Normalised(torch.nn.Module):
    """One weight behind a BN; the loss is a mean over the batch, times the weight."""

    def __init__(self):
        super().__init__()
        self.bn = torch.nn.BatchNorm2d(1, affine=False)
        self.weight = torch.nn.Parameter(torch.ones(1))

    def forward(self, images):
        return {"loss": (self.bn(images).square().mean() * self.weight).sum()}


def test_a_step_that_overflows_leaves_nothing_behind_and_ends_the_run_if_it_stays(monkeypatch):
    good = torch.randn(4, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    bad = torch.full_like(good, torch.inf)
    model = Normalised()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    trainer = AMPTrainer(model, [], optimizer, None, torch.amp.GradScaler("cpu"))
    trainer.iter = 0
    monkeypatch.setattr(torch.cuda.amp, "autocast", contextlib.nullcontext)

    def steps(*some):
        trainer._data_loader_iter = iter(some)
        for _ in some:
            with monkeypatch.context() as there_is_cuda:  # which run_step asserts, once; nothing is done there
                answers = iter([True])
                there_is_cuda.setattr(torch.cuda, "is_available", functools.partial(next, answers, False))
                trainer.run_step()

    with EventStorage() as storage:
        steps(good)
        before = copy.deepcopy(model.state_dict())
        steps(*[bad] * 19)
        assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
        assert len(storage.history("total_loss").values()) == 1
        steps(good, *[bad] * 19)
        assert not torch.equal(before["weight"], model.weight), "a good step, and the count starts again"
        with pytest.raises(FloatingPointError, match="infinite or NaN"):
            steps(bad)
    with EventStorage(), pytest.raises(FloatingPointError):
        SimpleTrainer._write_metrics(trainer, {"loss": torch.tensor(torch.nan)}, 0.0)


def test_images_are_normalised_once_however_often_the_model_is_called(tiny):
    model = build_model(tiny("baseline", "MODEL.HEADS.NUM_CLASSES", "4")).eval()
    batch = {"images": torch.rand(2, 3, 32, 16) * 255}
    before = batch["images"].clone()
    with torch.no_grad():
        first, second = model(batch), model(batch)
        from_tensor = model(batch["images"])
    assert torch.equal(first, second) and torch.equal(first, from_tensor)
    assert torch.equal(batch["images"], before)


def _save_for_ever(folder):
    model = torch.nn.Linear(1000, 2000)
    for epoch in range(10**6):
        Checkpointer(model, folder).save(f"model_{epoch % 2}", epoch=epoch)


def test_a_kill_at_any_moment_leaves_a_good_last_checkpoint(tmp_path):
    for attempt in range(6):
        process = multiprocessing.get_context("fork").Process(target=_save_for_ever, args=(str(tmp_path),))
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


class Dangerous:
    """Runs code when it is unpickled."""

    ran = []

    def __reduce__(self):
        return Dangerous.ran.append, (1,)


def test_a_checkpoint_with_all_that_training_saves_loads(tiny):
    cfg = tiny("baseline", "SOLVER.MAX_EPOCH", "1", "SEED", "0")
    DefaultTrainer(cfg).train()
    trainer = DefaultTrainer(cfg)
    left = trainer.checkpointer.load(os.path.join(cfg.OUTPUT_DIR, "model_final.pth"))
    assert left["epoch"] == 0 and 0 < left["metric"] <= 100
    assert trainer.optimizer.state_dict()["state"] and trainer.scheduler["lr_sched"].last_epoch > 0


def test_damaged_foreign_and_missing_checkpoints_are_named(tmp_path):
    checkpointer = Checkpointer(torch.nn.Linear(2, 2), str(tmp_path))
    checkpointer.save("good")
    whole = (tmp_path / "good.pth").read_bytes()
    for name, content in (("cut", whole[:-200]), ("empty", b""), ("text", b"no checkpoint")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=f"checkpoint {tmp_path / name} is damaged"):
            checkpointer.load(str(tmp_path / name))
    torch.save({"weight": torch.zeros(2)}, tmp_path / "other")
    with pytest.raises(UserError, match="other has no entry 'model': fast-reid did not write it"):
        checkpointer.load(str(tmp_path / "other"))
    torch.save({"model": print}, tmp_path / "code")
    with pytest.raises(UserError, match="code is damaged or holds more than weights"):
        checkpointer.load(str(tmp_path / "code"))
    torch.save({"model": Dangerous()}, tmp_path / "danger")
    with pytest.raises(UserError, match="danger is damaged or holds more than weights"):
        checkpointer.load(str(tmp_path / "danger"))
    with tarfile.open(tmp_path / "tar", "w") as archive:  # as torch 0.1 wrote them
        for name in ("sys_info", "pickle", "storages", "tensors"):
            (tmp_path / name).write_bytes(pickle.dumps(Dangerous()))
            archive.add(tmp_path / name, name)
    with pytest.raises(UserError, match="tar is a tar archive, .* may hold code: name another with MODEL.WEIGHTS"):
        checkpointer.load(str(tmp_path / "tar"))
    assert not Dangerous.ran
    torch.save([1], tmp_path / "list")
    with pytest.raises(UserError, match="list does not fit this model"):
        checkpointer.load(str(tmp_path / "list"))
    with pytest.raises(UserError, match="nowhere is not found"):
        checkpointer.load(str(tmp_path / "nowhere"))


@pytest.mark.parametrize("make", [None, "#!/bin/sh\nexit 1\n"], ids=["no make", "make fails"])
def test_evaluation_without_a_compiler_warns_and_goes_on(tiny, tmp_path, make, monkeypatch, caplog):
    (tmp_path / "Cython").mkdir()  # a Cython that is there, so that building is tried
    (tmp_path / "Cython/__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "bin").mkdir()
    if make:
        (tmp_path / "bin/make").write_text(make)
        (tmp_path / "bin/make").chmod(0o755)
        (tmp_path / "bin/sh").symlink_to("/bin/sh")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin/python3"))
    monkeypatch.setitem(sys.modules, "fastreid.evaluation.rank_cylib.rank_cy", None)  # though it may have been built
    monkeypatch.setattr(logging.getLogger("fastreid"), "propagate", True)
    ReidEvaluator(tiny("gdnorm", "TEST.RANKING", "stock"), num_query=1)
    assert "Ranking in Python" in caplog.text


def test_the_cuhk03_metric_runs_on_this_numpy(tiny):
    ReidEvaluator(tiny(), num_query=2)
    from fastreid.evaluation.rank import evaluate_rank

    distances = np.array([[0.1, 0.9, 0.5], [0.8, 0.2, 0.6]])
    pids, cameras = np.array([1, 2]), np.array([0, 0])
    cmc, mean_ap = evaluate_rank(
        distances, pids, np.array([1, 2, 3]), cameras, np.array([1, 1, 1]), use_metric_cuhk03=True, use_cython=False
    )
    assert cmc[0] == 1.0 and mean_ap == 1.0


def test_metrics_can_be_written_twice_at_one_iteration():
    printer = CommonMetricPrinter(max_iter=100)
    with EventStorage(start_iter=2) as storage:
        storage.epoch = 0
        storage.put_scalar("total_loss", 1.0)
        printer.write()
        printer.write()


def test_worker_processes_that_are_spawned_are_patched_too(tiny):
    loader, _ = build_reid_test_loader(tiny(), dataset_name="RenderedStation")
    code = "import pickle, sys; print(len(pickle.load(open(sys.argv[1], 'rb'))))"
    file = os.path.join(tiny().OUTPUT_DIR, "dataset.pkl")
    with open(file, "wb") as stream:
        pickle.dump(loader.dataset, stream)
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run([sys.executable, "-c", code, file], env=env, capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == str(len(loader.dataset)), done.stderr


@pytest.mark.long
def test_the_last_test_reaches_the_metrics_file_whenever_it_is(tiny):
    for period in ("2", "3"):  # after the last epoch's checkpoint, and after training
        cfg = tiny("baseline", "SOLVER.MAX_EPOCH", "4", "TEST.EVAL_PERIOD", period)
        results = DefaultTrainer(cfg).train()
        with open(os.path.join(cfg.OUTPUT_DIR, "metrics.json")) as file:
            last = [line for line in map(json.loads, file) if "mAP" in line][-1]
        assert (last["iteration"], last["mAP"]) == (4 * 6, results["mAP"])


def test_loaders_hold_what_stock_ones_do_and_end(tiny):
    loader, num_query = build_reid_test_loader(tiny(), dataset_name="RenderedStation")
    paths = [path for batch in loader for path in batch["img_paths"]]
    assert paths == [item[0] for item in loader.dataset.img_items] and num_query == 12
    assert all(batch["images"].device.type == "cpu" for batch in islice(loader, 1)) or torch.cuda.is_available()
