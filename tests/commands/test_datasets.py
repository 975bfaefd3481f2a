"""``fastreid datasets`` on complete and on broken data sets."""

import shutil

import cv2
import numpy as np
import pytest

from ..conftest import fastreid
from ..data import trees


def put(path):
    """Write a small picture, always the same."""
    assert cv2.imwrite(str(path), np.full((8, 4, 3), 90, np.uint8))


@pytest.fixture
def root(tmp_path):
    """VIPeR and i-LIDS at full size, Market-1501 at toy size."""
    trees.viper(tmp_path, put)
    trees.ilids(tmp_path, put)
    trees.market1501(tmp_path, put)
    return tmp_path


@pytest.fixture
def said(root, monkeypatch, fastreid_here):
    """A function that runs ``fastreid datasets`` on them in this process, and returns stdout and stderr."""
    monkeypatch.setenv("FASTREID_DATASETS", str(root))

    def call(*words):
        done = fastreid_here("datasets", *words)
        assert done.returncode == (2 if done.stderr else 0)
        return done.stdout, done.stderr

    return call


def test_complete_sets_match_the_published_counts_and_a_small_one_does_not(root, said, monkeypatch):
    out, mistake = said("DGVIPeR", "DGiLIDS")
    assert not mistake and out.count("as published") == 2 and "not as published" not in out
    assert f"DGVIPeR: {root}/VIPeR" in out and "|   316 |      316 |" in out
    assert out.count("  10 splits drawn from its sorted identities") == 2

    monkeypatch.delenv("FASTREID_DATASETS")
    small = fastreid("datasets", "DGMarket1501", "--root", root, "--no-decode", env={"FORCE_COLOR": "1"})
    assert small.returncode == 2
    assert "\x1b[31m24 (published 12,936)" in small.stdout and "\x1b[31mnot as published" in small.stdout
    (line,) = [line for line in small.stderr.splitlines() if line.startswith("fastreid ")]
    assert "missing or not as published: DGMarket1501; see above" in line


def test_a_missing_set_is_a_mistake_only_if_it_was_named(root, said):
    out, mistake = said("--no-decode")
    assert not mistake and out.count("not found") == 7
    assert f"{root} has no folder MSMT17_V1; such a folder must contain train and test (V1)" in out
    out, mistake = said("--no-decode", "DGMSMT17", "DATASETS.MSMT17.VERSION", "V2")
    assert "has no folder MSMT17_V2" in out and "DGMSMT17" in mistake
    out, mistake = said("--no-decode", "--config-file", "projects/GDNorm/configs/protocol1/gdnorm.yml")
    assert "DGMSMT17" not in out
    assert "DGMarket1501, DGDukeMTMC, DGCUHK02, DGCUHK03, DGCUHKSYSU, DGPRID, DGGRID" in mistake
    assert "there is no 'DGViper'; did you mean DGVIPeR?" in said("--no-decode", "DGViper")[1]


def test_an_incomplete_set_is_not_called_missing(root, said):
    shutil.rmtree(root / "Market-1501-v15.09.15/query")
    (root / "VIPeR/cam_a/notes.txt").touch()
    trees.dukemtmc(root, put)
    shutil.move(root / "DukeMTMC-reID/query/0002_c1_f0046182.jpg", root / "DukeMTMC-reID/query/0002_c1_f0046182.JPG")
    out, mistake = said("--no-decode", "DGMarket1501", "DGVIPeR", "DGMSMT17", "MSMT17", "DukeMTMC")
    assert "DukeMTMC: left out 1 of 8 images in " in out and "only *.jpg; the first is 0002_c1_f0046182.JPG" in out
    assert "DGMarket1501: incomplete or damaged" in out and "v15.09.15 has no folder query" in out
    assert "DGMSMT17: not found" in out and "MSMT17: fast-reid's own reader cannot read it in" in out
    assert f"{root}/VIPeR/cam_a: left out 1 of 633: 1 with the suffix .txt" in out
    assert mistake.endswith("DGMarket1501, DGMSMT17, MSMT17; see above\n")


def test_a_missing_root_is_named(said, monkeypatch, tmp_path):
    assert "--root /nowhere is not a folder" in said("--root", "/nowhere")[1]
    monkeypatch.setenv("FASTREID_DATASETS", "/nowhere")
    assert "/nowhere, which FASTREID_DATASETS names, is not a folder" in said()[1]
    monkeypatch.setenv("FASTREID_DATASETS", "")
    monkeypatch.chdir(tmp_path)
    assert f"{tmp_path}/datasets is not a folder; set FASTREID_DATASETS to the folder" in said("DGVIPeR")[1]


def test_empty_truncated_and_missing_images_are_named(root, said):
    empty, cut, text = sorted((root / "VIPeR/cam_a").iterdir())[:3]
    empty.write_bytes(b"")
    cut.write_bytes(cut.read_bytes()[:30])
    text.write_text("no image")
    decoded, mistake = said("DGVIPeR")
    assert mistake and "3 images are empty, damaged or missing:" in decoded and f"{empty} is empty" in decoded
    assert f"cannot read image {cut} (" in decoded and f"cannot read image {text} (" in decoded
    out, mistake = said("--no-decode", "DGVIPeR")
    assert "1 image is empty, damaged or missing:" in out and mistake

    trees.msmt17(root, put)
    gone = root / "MSMT17_V1/train" / (root / "MSMT17_V1/list_train.txt").read_text().split()[0]
    gone.unlink()
    assert f"{gone} does not exist" in said("--no-decode", "DGMSMT17")[0]
