"""Patches of fast-reid's data sets and loaders."""

import threading
from itertools import islice
from pathlib import Path

import pytest
import torch
from fastreid.data import build_reid_test_loader, build_reid_train_loader
from fastreid.data.data_utils import BackgroundGenerator

from fastreid_gdnorm.errors import UserError


@pytest.mark.parametrize("workers", ["0", "2"])
def test_an_unreadable_image_reaches_the_caller_and_names_its_file(tiny, tmp_path, monkeypatch, workers):
    cfg = tiny("baseline", "DATALOADER.NUM_WORKERS", workers)
    loader = build_reid_train_loader(cfg)
    broken = tmp_path / "0001_c1s1_000001_00.jpg"
    broken.write_bytes(Path(loader.dataset.img_items[0][0]).read_bytes()[:300])
    loader.dataset.img_items = [(str(broken), *item[1:]) for item in loader.dataset.img_items]
    batches = iter(loader)
    with pytest.raises(UserError, match=f"cannot read image {broken}.*replace it or take it away"):
        next(batches)
    if workers != "0" and loader.stream is None:  # else the toolbox ends them
        batches._shutdown_workers()  # left to the garbage collector, they keep a later test waiting for 10 s


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


def test_loaders_hold_what_stock_ones_do_and_end(tiny):
    loader, num_query = build_reid_test_loader(tiny(), dataset_name="RenderedStation")
    paths = [path for batch in loader for path in batch["img_paths"]]
    assert paths == [item[0] for item in loader.dataset.img_items] and num_query == 12
    assert all(batch["images"].device.type == "cpu" for batch in islice(loader, 1)) or torch.cuda.is_available()
