"""Domains of photographs made from checkouts that hold random images under the same names."""

import importlib

import numpy as np
import pytest
from fastreid.config import get_cfg
from PIL import Image

from fastreid_gdnorm.data import read

from .conftest import REPOSITORY

PROJECT = REPOSITORY / "projects/GDNorm"


def draw(file, number):
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(number).integers(0, 256, (16, 8, 3), np.uint8)
    Image.fromarray(pixels).save(file)


@pytest.fixture
def photographs(monkeypatch):
    """The script, whose main takes its command-line arguments."""
    monkeypatch.syspath_prepend(str(PROJECT))
    monkeypatch.setenv("FASTREID_DATASETS", "")  # the script sets it
    return importlib.import_module("benchmarks.data.photographs")


def make(photographs, *checkouts, to):
    """Run the script; these checkouts lack most published images, so that it exits with status 2."""
    with pytest.raises(SystemExit) as ended:
        photographs.main([*map(str, ("--from", *checkouts, "--output", to))])
    assert ended.value.code == 2


@pytest.fixture
def checkouts(tmp_path):
    firsts_and_lasts = (0, 842, 843, 1282, 1283, 1359, 1360, 1466)  # identities of pairs of cameras
    for number, pid in enumerate(firsts_and_lasts):
        for view in (0, 4, 5, 9):
            draw(tmp_path / f"one/dataset/images/full/{pid:04d}_{view:02d}.jpg", 10 * number + view)
    draw(tmp_path / "one/dataset/images/full/1467_00.jpg", 1)  # no identity of CUHK03
    for pid in (1, 5):
        for view in (1, 2, 3, 4):
            draw(tmp_path / f"two/deep/CUHK01/campus/{pid:04d}{view:03d}.png", 100 * pid + view)
    (tmp_path / "two/README.md").write_text("")
    return tmp_path / "one", tmp_path / "two"


def test_checkouts_become_domains_that_readers_can_read(photographs, checkouts, tmp_path, capsys):
    make(photographs, *checkouts, to=tmp_path / "data")
    printed = capsys.readouterr()
    assert "2 (published 843)" in printed.out  # counted and compared
    assert "not as published: CUHK03Pair1" in printed.err.splitlines()[-1]
    images = sorted(file.name for file in (tmp_path / "data/cuhk03/images_detected").iterdir())
    assert len(images) == 32
    assert images[:8] == [
        *("1_001_1_01.jpg", "1_001_1_05.jpg", "1_001_2_06.jpg", "1_001_2_10.jpg"),
        *("1_843_1_01.jpg", "1_843_1_05.jpg", "1_843_2_06.jpg", "1_843_2_10.jpg"),
    ]
    assert {image[:5] for image in images} == {
        *("1_001", "1_843", "2_001", "2_440", "3_001", "3_077", "4_001", "5_049")
    }
    pair1, others, cuhk01 = (read(get_cfg(), name) for name in ("CUHK03Pair1", "CUHK03Pairs3to5", "CUHK01"))
    assert len(pair1.train) == 8 and len(pair1.query) == len(pair1.gallery) == 4
    assert len({camera for _, _, camera in others.train}) == 6
    assert [len(part) for part in (cuhk01.train, cuhk01.query, cuhk01.gallery, cuhk01.read_site())] == [8, 2, 2, 4]
    assert not {item[1] for item in cuhk01.query} & {item[1] for item in cuhk01.read_site()}


def test_missing_input_is_reported_in_one_line(photographs, tmp_path, capsys):
    make(photographs, tmp_path / "no", to=tmp_path / "data")
    assert "no is not a folder" in capsys.readouterr().err.splitlines()[-1]
    (tmp_path / "nothing").mkdir()
    make(photographs, tmp_path / "nothing", to=tmp_path / "data")
    assert "hold none of" in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "data").exists()


def test_existing_files_are_kept(photographs, checkouts, tmp_path):
    kept = tmp_path / "data/cuhk02/P1/cam1/0001_001.png"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"mine")
    make(photographs, checkouts[1], to=tmp_path / "data")
    assert kept.read_bytes() == b"mine"
