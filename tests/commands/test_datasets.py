"""``fastreid datasets`` through the front door, on whole and on broken trees."""

import cv2
import numpy as np
import pytest

from fastreid_gdnorm import cli

from ..conftest import fastreid
from ..data import trees


def put(path):
    """A small picture, the same for all."""
    assert cv2.imwrite(str(path), np.full((8, 4, 3), 90, np.uint8))


@pytest.fixture
def root(tmp_path):
    """VIPeR and i-LIDS at full size, Market-1501 at toy size."""
    trees.viper(tmp_path, put)
    trees.ilids(tmp_path, put)
    trees.market1501(tmp_path, put)
    return tmp_path


def test_whole_sets_are_as_published_and_a_small_one_is_not(root):
    good = fastreid("datasets", "--root", root, "DGVIPeR", "DGiLIDS")
    assert good.returncode == 0, good.stderr
    assert good.stdout.count("as published") == 2 and "not as published" not in good.stdout
    assert f"DGVIPeR: {root}/VIPeR" in good.stdout and "|   316 |      316 |" in good.stdout

    small = fastreid("datasets", "DGMarket1501", "--root", root, "--no-decode", env={"FORCE_COLOR": "1"})
    assert small.returncode == 2
    assert "\x1b[31m24 (published 12,936)" in small.stdout and "\x1b[31mnot as published" in small.stdout
    (line,) = [line for line in small.stderr.splitlines() if line.startswith("fastreid ")]
    assert "missing or not as published: DGMarket1501; see above" in line


@pytest.fixture
def said(root, monkeypatch, capsys):
    """A function that runs ``fastreid datasets`` on the trees, in this process: stdout and stderr."""
    monkeypatch.setenv("FASTREID_DATASETS", str(root))

    def call(*words):
        status = cli.main(["datasets", "--no-decode", *words])
        out, err = capsys.readouterr()
        assert status == (2 if err else 0)
        return out, err

    return call


def test_all_sets_are_looked_for_and_a_missing_one_is_no_mistake_unless_it_was_named(root, said):
    out, mistake = said()
    assert not mistake and out.count("not found") == 7
    assert f"{root} has no folder MSMT17_V1; it holds train and test (V1)" in out
    out, mistake = said("DGMSMT17", "DATASETS.MSMT17.VERSION", "V2")
    assert "has no folder MSMT17_V2" in out and "DGMSMT17" in mistake
    out, mistake = said("--config-file", "projects/GDNorm/configs/protocol1/gdnorm.yml")
    assert "DGMSMT17" not in out
    assert "DGMarket1501, DGDukeMTMC, DGCUHK02, DGCUHK03, DGCUHKSYSU, DGPRID, DGGRID" in mistake
    assert "there is no 'DGViper'; did you mean DGVIPeR?" in said("DGViper")[1]


def test_images_that_are_empty_cut_short_or_gone_are_named(root, said):
    empty, cut, text = sorted((root / "VIPeR/cam_a").iterdir())[:3]
    empty.write_bytes(b"")
    cut.write_bytes(cut.read_bytes()[:30])
    text.write_text("no image")
    decoded = fastreid("datasets", "DGVIPeR", "--root", root)
    assert decoded.returncode == 2 and "3 images are empty, damaged or missing:" in decoded.stdout
    assert f"{empty} is empty" in decoded.stdout
    assert f"cannot read image {cut} (" in decoded.stdout and f"cannot read image {text} (" in decoded.stdout
    out, mistake = said("DGVIPeR")
    assert "1 image is empty, damaged or missing:" in out and mistake

    trees.msmt17(root, put)
    gone = root / "MSMT17_V1/train" / (root / "MSMT17_V1/list_train.txt").read_text().split()[0]
    gone.unlink()
    assert f"{gone} is not there" in said("DGMSMT17")[0]
