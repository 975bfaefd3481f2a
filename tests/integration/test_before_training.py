"""What a test needs is checked before the first step, and what a test leaves out is counted."""

import re
import shutil

import pytest

from ..conftest import training
from ..runs.toy import one_line


def name_a_missing_target(station):
    return ["DATASETS.TESTS", "('RenderedStation','DGMarket1501')"]


def remove_gallery(station):
    shutil.rmtree(station / "bounding_box_test")


def leave_one_camera(station):
    for part in ("query", "bounding_box_test"):
        for number, image in enumerate(sorted((station / part).glob("*.jpg"))):
            image.rename(image.with_name(f"{image.name.split('_')[0]}_c1s1_{number:06}_00.jpg"))


def cut_the_first_query(station):
    image = min((station / "query").glob("*.jpg"))
    image.write_bytes(image.read_bytes()[:200])


MISTAKES = {
    name_a_missing_target: "data set DGMarket1501: .* has no folder",
    remove_gallery: "bounding_box_test",
    leave_one_camera: r"none of the \d+ queries of RenderedStation has an image of .* from another camera",
    cut_the_first_query: "cannot read image .*query",
}


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.__name__)
@pytest.mark.parametrize("config", ["gdnorm", "baseline"])
def test_a_mistake_that_would_end_the_test_ends_training_before_its_first_step(
    station, tmp_path, mistake, config, fastreid_here
):
    overrides = mistake(station) or []
    done = fastreid_here(*training(tmp_path / "run", config=config, overrides=overrides))
    assert re.search(MISTAKES[mistake], one_line(done)), done.stderr
    assert "Starting training" not in done.stdout and not (tmp_path / "run/metrics.json").exists()


def test_an_output_dir_that_is_a_file_is_refused(datasets, tmp_path, fastreid_here):
    (tmp_path / "run").write_text("mine")
    assert "a file is where a folder must be" in one_line(fastreid_here(*training(tmp_path / "run")))
    assert (tmp_path / "run").read_text() == "mine"


@pytest.mark.parametrize("ranking", ["bounded", "stock"])
def test_queries_without_a_true_match_are_counted_for_every_target(toy_run, station, tmp_path, ranking, fastreid_here):
    lonely = sorted((station / "query").glob("*.jpg"))[0].name.split("_")[0]
    for image in (station / "bounding_box_test").glob(f"{lonely}_*"):
        image.unlink()
    left_out = len(list((station / "query").glob(f"{lonely}_*")))
    both = ["DATASETS.TESTS", "('RenderedStation','RenderedNight')"]
    words = ["--config-file", toy_run / "config.yaml", "--output", tmp_path, "TEST.RANKING", ranking, *both]
    done = fastreid_here("eval", *words)
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if "left out of the results" in line]
    assert re.search(rf"RenderedStation: {left_out} of \d+ queries", line)

    leave_one_camera(station)
    line = one_line(fastreid_here("eval", *words))
    assert "none of the" in line and "from another camera" in line
