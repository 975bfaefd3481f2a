"""Pools of processes: what each of them gets."""

import multiprocessing
import os

import torch

from fastreid_gdnorm.runs.process_pool import spawned_pool


def state(_):
    return os.getcwd(), os.environ.get("LOOK"), torch.get_num_threads(), multiprocessing.get_start_method()


def test_processes_have_the_current_folder_environment_and_threads(tmp_path, monkeypatch):
    for look in "first", "second":
        folder = tmp_path / look
        folder.mkdir()
        monkeypatch.chdir(folder)
        monkeypatch.setenv("LOOK", look)
        with spawned_pool(2, threads=1) as pool:
            states = set(pool.map(state, range(4)))
        assert states == {(str(folder), look, 1, multiprocessing.get_start_method())}
