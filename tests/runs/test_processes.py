"""Several real processes: they train and test as one does, and a failure in one gives one line in all."""

import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time

import pytest
import torch
from fastreid.engine import DefaultTrainer

from fastreid_gdnorm.errors import UserError
from fastreid_gdnorm.evaluation import METRICS, TRANSDUCTIVE
from fastreid_gdnorm.runs.cluster_env import rank_from_env

from ..conftest import DEMO, ONE_TARGET, TINY, TOY_SEED, command, fastreid, training
from .one_and_two import CASES
from .toy import last_test, metrics, one_line

TWO = ["--num-gpus", 2]
SYNCED = "MODEL.BACKBONE.NORM syncBN MODEL.HEADS.NORM syncBN".split()


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def python(*arguments, **env):
    """The arguments of subprocess.run that start Python."""
    return {**command(env=env), "args": [sys.executable, *map(str, arguments)]}


def torchrun(*arguments, of=2, flags=("--standalone",), **env):
    """The arguments of subprocess.run that start torchrun."""
    words = ["-m", "torch.distributed.run", *flags, "--nproc_per_node", of]
    return python(*words, *arguments, OMP_NUM_THREADS="1", **env)


def done(words, timeout=280):
    finished = subprocess.run(**words, capture_output=True, timeout=timeout)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished


def sources_of(folder):
    return sorted(path.name for path in folder.glob("*.pth"))


@pytest.mark.long
def test_two_processes_train_the_same_network_as_one(datasets, tmp_path):
    """Weights, statistics and test results agree up to rounding after 30 steps of every kind of training."""
    for number in (1, 2):
        done(python("-m", "tests.runs.one_and_two", tmp_path / str(number), number))
    for case in CASES:
        one, two = (
            torch.load(tmp_path / number / case / "model_final.pth", weights_only=True)["model"] for number in "12"
        )
        assert one.keys() == two.keys()
        for name, values in one.items():
            assert torch.allclose(values, two[name], rtol=1e-9, atol=1e-9), (case, name)
        one, two = (last_test(tmp_path / number / case) for number in "12")
        assert [one[name] for name in METRICS] == [two[name] for name in METRICS]
        losses = ([line["total_loss"] for line in metrics(tmp_path / n / case) if "total_loss" in line] for n in "12")
        assert next(losses) == pytest.approx(next(losses), rel=1e-9)


@pytest.mark.long
@pytest.mark.parametrize("words", [["-m", "fastreid_gdnorm", "train"], ["projects/GDNorm/train_net.py"]], ids=str)
def test_torchrun_trains_one_network_into_one_folder(datasets, tmp_path, words):
    flags, opts = ["--config-file", f"{DEMO}/gdnorm.yml"], [*TINY, *ONE_TARGET, *SYNCED, "SEED", TOY_SEED]
    run = tmp_path / "run"
    done(torchrun(*words, *flags, *opts, "OUTPUT_DIR", run))
    assert sources_of(run) == ["model_0000.pth", "model_best.pth", "model_final.pth"]
    log = (run / "log.txt").read_text()
    assert log.count("Starting training from epoch 0") == 1 and "World size: 2" in log
    iterations = [line["iteration"] for line in metrics(run)]
    assert iterations == sorted(set(iterations))
    assert len(list(run.glob("events*"))) == len(list(run.glob("metrics.json"))) == 1
    assert set(torch.load(run / "model_final.pth", weights_only=True)["processes"].values()) == {2}


@pytest.mark.long
def test_two_processes_give_the_test_results_of_one(toy_run, tmp_path, public_datasets, fastreid_here):
    """On targets, splits, sites and path sweeps."""
    config = ["--config-file", toy_run / "config.yaml"]
    targets = ["DATASETS.TESTS", "('RenderedStation','DGVIPeR')"]
    sweep, site = ["--samples", 2, "--lambdas", "0.6,2"], tmp_path / "site"

    def in_one(*words):
        ended = fastreid_here(*words)
        assert ended.returncode == 0, ended.stderr

    def in_two(*words):
        done(torchrun("-m", "fastreid_gdnorm", *words))

    in_one("adapt", "--by", "both", "--model", toy_run, "RenderedNight", "--output", site)
    for number, start in {"1": in_one, "2": in_two}.items():
        folder = tmp_path / number
        along = ["--site", site, "--output", folder / "site"]
        start("eval", *config, *along, "DATASETS.TESTS", "('RenderedNight',)")
        start("eval", *config, "--output", folder / "eval", *targets)
        start("paths", *config, "--output", folder / "paths", *sweep, *ONE_TARGET)
    one, two = (json.loads((tmp_path / number / "eval/test_results.json").read_text()) for number in "12")
    assert one == two and "Rank-1 std" in one["DGVIPeR"]
    one, two = (json.loads((tmp_path / number / "site/test_results.json").read_text()) for number in "12")
    assert one == two and one["RenderedNight"][TRANSDUCTIVE] == 0
    one, two = (json.loads((tmp_path / number / "paths/paths.json").read_text())["paths"] for number in "12")
    timeless = [
        [{key: value for key, value in path.items() if "seconds" not in key} for path in of] for of in (one, two)
    ]
    assert timeless[0] == timeless[1] and len(one) == 3 + 2 + 4
    assert len((tmp_path / "2/paths/paths.jsonl").read_text().splitlines()) == len(one)


@pytest.mark.long
def test_a_protocol_in_two_processes_trains_each_run_in_two(public_datasets, tmp_path):
    toy = "SOLVER.MAX_EPOCH 1 SOLVER.AMP.ENABLED False SOLVER.IMS_PER_BATCH 24 DATALOADER.NUM_WORKERS 0".split()
    small = "MODEL.BACKBONE.DEPTH 18x MODEL.BACKBONE.FEAT_DIM 512 MODEL.BACKBONE.PRETRAIN False".split()
    words = ["-m", "fastreid_gdnorm", "protocol", 2, "--only", "D+C3+MT->M", "--output", tmp_path]
    finished = done(torchrun(*words, *TINY, *toy, *small, *SYNCED, "MODEL.BACKBONE.LAST_STRIDE", 2))
    assert finished.stdout.count(": train, log: ") == 1
    assert "World size: 2" in (tmp_path / "to-market/gdnorm/log.txt").read_text()
    assert (tmp_path / "comparison.md").is_file()


def worker_of(parent, rank):
    """The process id of torchrun's worker with a rank, or None if it is not running."""
    for pid in map(int, re.findall(r"\d+", " ".join(os.listdir("/proc")))):
        try:
            with open(f"/proc/{pid}/stat") as stat, open(f"/proc/{pid}/environ") as environ:
                if int(stat.read().rsplit(")", 1)[1].split()[1]) == parent and f"\0RANK={rank}\0" in environ.read():
                    return pid
        except (OSError, ValueError):
            continue
    return None


@pytest.mark.long
def test_killed_five_times_torchrun_resumes_to_the_metrics_of_an_uninterrupted_run(datasets, tmp_path):
    longer = ["SOLVER.MAX_EPOCH", 9, *SYNCED]
    done(torchrun("-m", "fastreid_gdnorm", *training(tmp_path / "unbroken", overrides=longer)))
    words = training(tmp_path / "broken", "--resume", overrides=longer)
    restarting = ["--standalone", "--max-restarts", "5", "--monitor-interval", "0.1"]
    log = tmp_path / "log.txt"
    with open(log, "w") as stdout:
        started = torchrun("-m", "fastreid_gdnorm", *words, flags=restarting)
        process = subprocess.Popen(**started, stdout=stdout, stderr=subprocess.STDOUT)
    chances, checkpoint = random.Random(TOY_SEED), tmp_path / "broken/last_checkpoint"
    for kill in range(5):
        before = checkpoint.read_text() if checkpoint.is_file() else ""
        deadline = time.monotonic() + 60
        while not checkpoint.is_file() or checkpoint.read_text() == before:
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.02)
        time.sleep(chances.uniform(0, 1))
        worker = worker_of(process.pid, kill % 2)
        if worker:  # the run may have ended by then
            os.kill(worker, signal.SIGKILL)
    assert process.wait(timeout=200) == 0, log.read_text()
    assert log.read_text().count("Starting training from epoch") >= 6
    assert metrics(tmp_path / "broken") == metrics(tmp_path / "unbroken")


FAULTS = '''
import os
import sys

from fastreid_gdnorm import cli

import torch
from fastreid.engine.hooks import HookBase
from fastreid.utils import comm

from fastreid_gdnorm.registries import HOOK_REGISTRY


@HOOK_REGISTRY.register()
class Fault(HookBase):
    """Fails in the third step on rank 1."""

    @classmethod
    def from_config(cls, cfg, trainer):
        return cls()

    def before_step(self):
        if comm.get_rank() == 1 and self.trainer.iter == 2:
            if os.environ["FAULT"] == "memory":
                torch.empty(2**60)
            data = self.trainer.data_loader.dataset
            cut = os.path.join(os.environ["FASTREID_DATASETS"], "cut.jpg")
            open(cut, "wb").close()
            data.img_items = [(cut, *others) for _, *others in data.img_items]
            self.trainer._trainer._data_loader_iter = iter(self.trainer.data_loader)


if __name__ == "__main__":
    sys.exit(cli.main(sys.argv[1:]))
'''


@pytest.mark.long
@pytest.mark.parametrize(
    "fault, status, said",
    [("image", 2, r"rank 1 of 2: .*\.jpg.*"), ("memory", 1, r"rank 1 of 2: RuntimeError: .*memory.*")],
)
def test_a_failure_of_one_process_ends_all_with_its_line(datasets, tmp_path, fault, status, said):
    images = tmp_path / "images"
    subprocess.run(["cp", "-r", str(datasets), str(images)], check=True)
    (tmp_path / "faulty.py").write_text(FAULTS)
    hooks = ["SOLVER.HOOKS", "('DomainPreciseBN','Fault')", *SYNCED]
    words = [tmp_path / "faulty.py", *training(tmp_path / "run", overrides=hooks)]
    start = time.monotonic()
    for started in (torchrun(*words), python(*words[:2], *TWO, *words[2:])):
        started["env"].update(FASTREID_DATASETS=str(images), FAULT=fault)
        ended = subprocess.run(**started, capture_output=True, timeout=120)
        lines = {line for line in ended.stderr.splitlines() if line.startswith("fastreid train: ")}
        assert len(lines) == 1 and re.fullmatch(f"fastreid train: {said}", lines.pop()), ended.stderr
        assert ended.returncode == (1 if started["args"][1:3] == ["-m", "torch.distributed.run"] else status)
    assert time.monotonic() - start < 120


@pytest.mark.long
def test_a_killed_process_is_named(datasets, tmp_path):
    words = training(tmp_path / "run", *TWO, overrides=["SOLVER.MAX_EPOCH", 400, *SYNCED])
    process = subprocess.Popen(**command(*words), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while not (tmp_path / "run/last_checkpoint").is_file() and time.monotonic() < deadline:
        time.sleep(0.1)
    children = subprocess.run(["pgrep", "-P", str(process.pid), "-f", "spawn_main"], capture_output=True, text=True)
    os.kill(int(children.stdout.split()[1]), signal.SIGKILL)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert said.splitlines()[-1] == "fastreid train: rank 1 of 2 was killed by SIGKILL"


@pytest.mark.long
def test_two_agents_train_together_and_a_run_resumes_in_another_number_of_processes(datasets, tmp_path):
    port, words = free_port(), training(tmp_path, overrides=["SOLVER.MAX_EPOCH", 1, *SYNCED])
    machines = [
        subprocess.Popen(
            **torchrun(
                *("-m", "fastreid_gdnorm", *words),
                of=1,
                flags=("--nnodes", 2, "--node_rank", rank, "--master_addr", "127.0.0.1", "--master_port", port),
            ),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        for rank in (0, 1)
    ]
    for machine in machines:
        said, _ = machine.communicate(timeout=200)
        assert machine.returncode == 0, said
    assert "World size: 2" in (tmp_path / "log.txt").read_text()
    again = fastreid(*training(tmp_path, "--resume", overrides=["SOLVER.MAX_EPOCH", 2, *SYNCED]))
    assert again.returncode == 0 and "Resuming with 1 instead of 2 processes" in again.stdout
    assert "Starting training from epoch 1" in again.stdout


@pytest.mark.long
def test_processes_that_cannot_reach_each_other_are_told_which_setting_to_try(datasets, tmp_path):
    line = one_line(fastreid(*training(tmp_path, *TWO), env={"GLOO_SOCKET_IFNAME": "none"}))
    assert re.search(r"rank [01] of 2 joined at .*; set GLOO_SOCKET_IFNAME to the network interface", line)


@pytest.mark.long
def test_a_process_that_never_joins_is_named(tmp_path):
    alone = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "FASTREID_ARRIVE": "3"}
    line = one_line(fastreid(*training(tmp_path), env={**alone, "MASTER_PORT": str(free_port())}))
    assert re.search(r"rank 0 of 2: rank 1 did not join at tcp://127.0.0.1:\d+ within 3 s; start all processes", line)


@pytest.mark.parametrize(
    "environment, said",
    [
        ({"RANK": "0", "WORLD_SIZE": "2"}, "RANK 0, WORLD_SIZE 2: several processes also need LOCAL_RANK, MASTER_ADDR"),
        ({"WORLD_SIZE": "2"}, "several processes also need RANK"),
        ({"WORLD_SIZE": "two"}, "WORLD_SIZE must be a whole number; got 'two'"),
    ],
)
def test_an_incomplete_environment_is_refused_in_one_line(environment, said):
    with pytest.raises(UserError, match=said):
        rank_from_env(environment)


def test_slurms_tasks_find_each_other():
    task = {"SLURM_STEP_NUM_TASKS": "8", "SLURM_PROCID": "5", "SLURM_LOCALID": "1", "SLURM_NODEID": "2"}
    for nodes, first in {"gpu[07-09,12]": "gpu07", "a[1-2]b[03]-ib,c": "a1b03-ib", "one,two": "one"}.items():
        of_step = {"SLURM_STEP_NODELIST": nodes, "SLURM_JOB_ID": "123456", "SLURM_STEP_ID": "2"}
        info = rank_from_env({**task, **of_step})
        assert (info.rank, info.number, info.local_rank, info.machine) == (5, 8, 1, "2")
        assert info.address == f"tcp://{first}:23458"
    assert rank_from_env({"SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"}) is None
    with pytest.raises(UserError, match="also need MASTER_ADDR"):
        rank_from_env({**task, "SLURM_JOB_ID": "123456"})


@pytest.fixture
def as_one_of_two(monkeypatch):
    """The environment of rank 0 of 2, as torchrun sets it."""
    started = {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0", "MASTER_ADDR": "x", "MASTER_PORT": "1"}
    for name, value in started.items():
        monkeypatch.setenv(name, value)


def test_processes_that_have_not_joined_each_other_do_not_train(tiny, as_one_of_two):
    with pytest.raises(UserError, match="2 processes are not connected"):
        DefaultTrainer(tiny())


def test_flags_for_processes_that_torchrun_has_started_are_a_mistake(datasets, as_one_of_two, fastreid_here, tmp_path):
    done = fastreid_here(*training(tmp_path, *TWO))
    assert done.returncode == 2 and "has already started 2 processes; leave out these flags" in done.stderr
