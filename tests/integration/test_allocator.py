"""The C library's allocator, in a process of its own."""

import os
import platform
import subprocess
import sys

import pytest

from fastreid_gdnorm.integration.allocator import SETTINGS

TRAINED = """
import sys
from pathlib import Path
import fastreid_gdnorm
import torch
from fastreid.engine import DefaultTrainer
from fastreid_gdnorm.runs.config import load_config

def resident():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) // 1024

cfg = load_config(sys.argv[1], sys.argv[2:])
DefaultTrainer(cfg)
before = resident()
torch.ones(64 * 2**20)
print(resident() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the allocator of another C library")
@pytest.mark.parametrize(
    "overrides, variables, kept",
    [
        ([], {}, True),
        (["SOLVER.KEEP_MEMORY", "False"], {}, False),
        ([], {"MALLOC_ARENA_MAX": "4"}, False),
    ],
)
def test_a_training_on_the_cpu_keeps_what_it_frees_unless_told_otherwise(tiny, tmp_path, overrides, variables, kept):
    config = tmp_path / "config.yaml"
    config.write_text(tiny("gdnorm").dump())
    environment = {name: value for name, value in os.environ.items() if not name.startswith(SETTINGS)}
    command = [sys.executable, "-c", TRAINED, config, *overrides]
    found = subprocess.run(command, env={**environment, **variables}, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    assert (int(found.stdout.splitlines()[-1]) > 200) == kept
