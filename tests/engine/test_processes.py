"""Training in several processes, real ones: what would fail or go wrong without a word gets one line."""

import socket

from ..conftest import DEMO, TINY, fastreid
from .test_run import one_line


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def test_spawned_processes_are_mended_and_say_that_they_need_cuda(tmp_path):
    two = f"--num-machines 2 --num-gpus 1 --machine-rank 0 --dist-url tcp://127.0.0.1:{free_port()}".split()
    config = ["--config-file", f"{DEMO}/gdnorm.yml", *TINY, "OUTPUT_DIR", tmp_path / "run"]
    line = one_line(fastreid("train", *two, *config, env={"CUDA_VISIBLE_DEVICES": ""}))
    assert line.endswith("CUDA, which torch does not find here: use --num-gpus 1 --num-machines 1")
