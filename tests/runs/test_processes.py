"""Training in several processes, real ones: what would fail or go wrong without a word gets one line."""

import socket
import subprocess
import sys

import pytest
from fastreid.engine import DefaultTrainer

from fastreid_gdnorm.errors import UserError

from ..conftest import DEMO, TINY, command, fastreid
from .toy import one_line


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.mark.long
def test_spawned_processes_are_patched_and_say_that_they_need_cuda(tmp_path):
    two = f"--num-machines 2 --num-gpus 1 --machine-rank 0 --dist-url tcp://127.0.0.1:{free_port()}".split()
    config = ["--config-file", f"{DEMO}/gdnorm.yml", *TINY, "OUTPUT_DIR", tmp_path / "run"]
    line = one_line(fastreid("train", *two, *config, env={"CUDA_VISIBLE_DEVICES": ""}))
    assert line.endswith("CUDA, which torch does not find here: use --num-gpus 1 --num-machines 1")


def python(*arguments):
    """The words to start Python with in a process of its own, ready for subprocess."""
    return {**command(), "args": [sys.executable, *map(str, arguments)]}


TRAINER = """
import sys

import torch.distributed

from fastreid_gdnorm.runs.config import load_config
from fastreid.engine import DefaultTrainer


class Trainer(DefaultTrainer):
    def build_train_loader(self, cfg):
        raise SystemExit("it begins with its data")


torch.distributed.init_process_group("gloo", init_method=sys.argv[1], world_size=2, rank=int(sys.argv[2]))
Trainer(load_config(sys.argv[3], ["OUTPUT_DIR", ""]))
"""


@pytest.mark.long
@pytest.mark.parametrize(
    "config, said",
    [
        ("gdnorm", "GDNormBaseline trains in one process, not in 2: use --num-gpus 1 --num-machines 1"),
        ("baseline", "it begins with its data"),
    ],
)
def test_a_process_group_trains_stock_models_but_no_gdnorm(tmp_path, config, said):
    group = f"file://{tmp_path}/group"
    ranks = [
        subprocess.Popen(**python("-c", TRAINER, group, rank, f"{DEMO}/{config}.yml"), stderr=subprocess.PIPE)
        for rank in (0, 1)
    ]
    for process in ranks:
        _, stderr = process.communicate(timeout=120)
        assert process.returncode == 1 and said in stderr.splitlines()[-1], stderr


@pytest.mark.long
def test_torchrun_of_train_net_trains_nothing(datasets, tmp_path):
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    words = ["projects/GDNorm/train_net.py", "--config-file", f"{DEMO}/baseline.yml", *TINY, "OUTPUT_DIR", tmp_path]
    done = subprocess.run(**python(*torchrun, *words), capture_output=True, timeout=300)
    assert done.returncode != 0 and "UserError: WORLD_SIZE is 2, but the processes do not know" in done.stderr
    assert not list(tmp_path.glob("*.pth"))


@pytest.mark.parametrize("variable", ["WORLD_SIZE", "SLURM_STEP_NUM_TASKS"])
def test_processes_that_do_not_know_each_other_may_test_but_not_train(tiny, monkeypatch, variable):
    monkeypatch.setenv(variable, "2")
    for config in ("gdnorm", "baseline"):
        with pytest.raises(UserError, match=f"{variable} is 2, .* Start one process"):
            DefaultTrainer(tiny(config))
    DefaultTrainer.test(tiny(), DefaultTrainer.build_model(tiny("gdnorm", "MODEL.HEADS.NUM_CLASSES", "4")))
    monkeypatch.setenv(variable, "1")
    DefaultTrainer(tiny())
