"""The C library's allocator, in a separate process."""

import os
import platform
import re
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
from fastreid_gdnorm.runs.run_config import load_config

def resident():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) // 1024

for keep in ("False", "True"):
    DefaultTrainer(load_config(sys.argv[1], ["SOLVER.KEEP_MEMORY", keep]))
    before = resident()
    torch.ones(64 * 2**20)
    print("kept", resident() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
@pytest.mark.parametrize("variables, kept", [({}, [False, True]), ({"MALLOC_ARENA_MAX": "4"}, [False, False])])
def test_training_on_the_cpu_keeps_freed_memory_unless_told_otherwise(tiny, tmp_path, variables, kept):
    config = tmp_path / "config.yaml"
    config.write_text(tiny("gdnorm").dump())
    environment = {name: value for name, value in os.environ.items() if not name.startswith(SETTINGS)}
    command = [sys.executable, "-c", TRAINED, config]
    found = subprocess.run(command, env={**environment, **variables}, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    megabytes = [int(found) for found in re.findall(r"^kept (-?\d+)$", found.stdout, re.MULTILINE)]
    assert [number > 200 for number in megabytes] == kept, megabytes
