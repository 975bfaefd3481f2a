"""Tables and folders as data sets, for training and tests."""

import csv
import json
import os
import shutil
import signal
import subprocess
import time

import numpy as np
import pytest
import yaml
from fastreid.config import get_cfg
from fastreid.data import build_reid_test_loader, build_reid_train_loader
from PIL import Image

from fastreid_gdnorm.data import read
from fastreid_gdnorm.data.layouts import read_folder
from fastreid_gdnorm.errors import UserError
from fastreid_gdnorm.inference.labelled import labelled_images
from fastreid_gdnorm.modeling.chosen_paths import camera_label
from fastreid_gdnorm.runs.run_config import load_config

from ..conftest import DEMO, REPOSITORY, TINY, training
from ..runs.test_processes import SYNCED, done, torchrun, worker_of
from ..runs.toy import metrics, one_line

OWN = str(REPOSITORY / "projects/GDNorm/configs/own-data.yml")
PARTS = {"bounding_box_train": "train", "query": "query", "bounding_box_test": "gallery"}


def write_table(file, rows, separator=","):
    """Write rows, given as dictionaries, with the columns of the first."""
    with open(file, "w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0], delimiter=separator)
        writer.writeheader()
        writer.writerows(rows)


def own_copy(domain, folder, parts=PARTS):
    """Copy a rendered domain under names that tell nothing; its rows, in the order of its folders."""
    (folder / domain.name).mkdir(parents=True)
    rows = []
    for part in parts:
        for image in sorted((domain / part).glob("*.jpg")):
            identity, camera = image.name.split("_")[0], image.name.split("_c")[1][0]
            if identity == "-1":
                continue
            copy = folder / domain.name / f"{len(rows)}.jpg"
            shutil.copyfile(image, copy)
            who = "" if identity == "0000" else f"person {identity}"
            rows.append({"path": copy.relative_to(folder), "identity": who, "camera": camera, "split": PARTS[part]})
    return rows


def without(rows, *columns):
    return [{column: value for column, value in row.items() if column not in columns} for row in rows]


@pytest.fixture
def data(datasets, tmp_path, monkeypatch):
    """The working directory, with shop.csv (a source), both.csv (two sources in it) and office.csv (a target)."""
    here = tmp_path / "here"
    here.mkdir()
    train = ["bounding_box_train"]
    write_table(here / "shop.csv", without(own_copy(datasets / "RenderedMall", here, train), "split"), ";")
    both = [
        {**row, "domain": domain[8:].lower()}
        for domain in ("RenderedStreet", "RenderedCampus")
        for row in own_copy(datasets / domain, here, train)
    ]
    write_table(here / "both.csv", without(both, "split"), "\t")
    write_table(here / "office.csv", without(own_copy(datasets / "RenderedStation", here, ["query"]), "split"))
    monkeypatch.chdir(here)
    return here


def results(folder):
    return json.loads((folder / "test_results.json").read_text())


def test_a_test_on_a_table_equals_one_on_market_1501s_folders(toy_run, datasets, tmp_path, monkeypatch, fastreid_here):
    write_table(tmp_path / "station.csv", own_copy(datasets / "RenderedStation", tmp_path))
    monkeypatch.chdir(tmp_path)
    shutil.copytree(datasets / "RenderedStation", "market")
    targets = {"RenderedStation", "station.csv", "market/"}
    for target in targets:
        words = ["--output", tmp_path / f"eval-{target.strip(chr(47))}", "DATASETS.TESTS", f"('{target}',)"]
        done = fastreid_here("eval", "--model", toy_run, *words)
        assert done.returncode == 0, done.stderr
    found = {target: results(tmp_path / f"eval-{target.strip(chr(47))}")[target] for target in targets}
    assert found["station.csv"] == found["market/"] == found["RenderedStation"]


def test_tables_train_a_branch_for_each_domain_and_are_found_from_anywhere(data, tmp_path, monkeypatch, fastreid_here):
    run = tmp_path / "run"
    words = ["train", "--config-file", REPOSITORY / DEMO / "gdnorm.yml", "--seed", 3, "--same-identities"]
    sources = ["DATASETS.NAMES", "('./shop.csv','both.csv')", "DATASETS.TESTS", "('office.csv',)"]
    overrides = [*TINY, *sources, "OUTPUT_DIR", run]
    done = fastreid_here(*words, *overrides)
    assert done.returncode == 0, done.stderr
    assert (
        "office.csv: no splits, so each image with an identity is a query, and is compared with all images but those"
        in done.stdout
    )
    saved = yaml.safe_load((run / "config.yaml").read_text())["DATASETS"]
    assert saved["NAMES"] == ["shop.csv", "both.csv#campus", "both.csv#street"] and saved["TESTS"] == ["office.csv"]
    assert saved["OWN"]["ROOT"] == str(data) and saved["OWN"]["SAME_IDENTITIES"]

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    done = fastreid_here("eval", "--model", run, "DATASETS.TESTS", "('office.csv',)")
    assert done.returncode == 0 and results(run / "eval-mean") == results(run), "there is only the run's office.csv"
    shutil.copyfile(data / "shop.csv", "office.csv")
    (elsewhere / "RenderedMall").symlink_to(data / "RenderedMall")
    done = fastreid_here("eval", "--model", run)
    assert done.returncode == 0 and results(run / "eval-mean") == results(run), "the run's office.csv, not this one"
    done = fastreid_here("eval", "--model", run, "DATASETS.TESTS", "('office.csv',)")
    assert done.returncode == 0 and list(results(run / "eval-mean")) == [str(elsewhere / "office.csv")]
    done = fastreid_here("train", "--resume", "--config-file", run / "config.yaml", "SOLVER.MAX_EPOCH", 3)
    assert done.returncode == 0, done.stderr
    assert "the model was trained on RenderedMall" in one_line(fastreid_here("calibrate", "--model", run, "office.csv"))
    table = (data / "shop.csv").read_text()
    (data / "shop.csv").write_text(table.replace(";person 0001;", ";someone else;"))
    said = one_line(fastreid_here("train", "--resume", "--config-file", run / "config.yaml", "SOLVER.MAX_EPOCH", 4))
    assert "--resume: the run started with other identities" in said
    (data / "shop.csv").write_text(table)

    (data / "shop.csv").rename(elsewhere / "shop.csv")
    (data / "office.csv").rename(elsewhere / "labelled.csv")
    (elsewhere / "RenderedStation").symlink_to(data / "RenderedStation")
    done = fastreid_here("eval", "--model", run, "DATASETS.TESTS", "('labelled.csv',)")
    assert done.returncode == 0, "the sources are not needed"


def test_stock_loaders_and_things_other_than_people(tmp_path, monkeypatch, fastreid_here):
    """Vans of two depots, through fast-reid's own functions with a config that fast-reid's tools would make."""
    rng = np.random.default_rng(0)
    rows = []
    for number in range(24):
        van, depot = f"van {'ABC'[number % 3]}", f"depot {number // 12}"
        Image.fromarray(rng.integers(0, 255, (16, 32, 3), np.uint8)).save(tmp_path / f"{number}.png")
        rows.append({"identity": van, "path": f"{number}.png", "camera": f"{depot}_{number % 2}", "domain": depot})
    write_table(tmp_path / "vans.csv", rows)
    monkeypatch.chdir(tmp_path)
    cfg = get_cfg()
    cfg.merge_from_list(["MODEL.DEVICE", "cpu", "SOLVER.IMS_PER_BATCH", 8, "DATALOADER.NUM_WORKERS", 0])
    cfg.DATALOADER.SAMPLER_TRAIN = "NaiveIdentitySampler"
    cfg.DATASETS.NAMES = ("vans.csv",)
    with pytest.raises(UserError, match=r"vans.csv has 2 domains: name each of them, \('vans.csv#depot 0', 'vans.csv"):
        build_reid_train_loader(cfg)
    cfg.DATASETS.NAMES = ("vans.csv#depot 0", "vans.csv#depot 1")
    loader = build_reid_train_loader(cfg)
    assert next(iter(loader))["images"].shape[0] == 8
    assert loader.dataset.num_classes == 6, "van A of another depot is another van"
    cfg.DATASETS.OWN.SAME_IDENTITIES = True
    assert build_reid_train_loader(cfg).dataset.num_classes == 3
    loader, num_query = build_reid_test_loader(cfg, dataset_name="vans.csv#depot 1")
    assert (num_query, len(loader.dataset)) == (12, 24)
    path, _, camera = read(cfg, "vans.csv#depot 1").query[0]
    assert camera == camera_label(path, camera) == "depot 1_0"
    done = fastreid_here("datasets", "vans.csv")
    assert (
        done.returncode == 0
        and "vans.csv#depot 0" in done.stdout
        and "| all |     3 |       12 |         2 |" in done.stdout
    )
    assert "3 identities, such as van A in vans.csv#depot 0 and vans.csv#depot 1, are in several" in done.stdout
    assert "and are kept apart; --same-identities makes them the same" in done.stdout
    done = fastreid_here("datasets", "--same-identities", "vans.csv")
    assert done.returncode == 0 and "and are the same; without --same-identities" in done.stdout


TREES = {
    "identity/image": ["7/a.jpg", "x y/b.jpg"],
    "camera/image": ["cam-1/a.jpg", "Camera 02/b.jpg"],
    "identity/camera/image": ["7/gate/a.jpg", "8/c1/b.jpg"],
    "camera/identity/image": ["c1/7/a.jpg", "c2/7/b.jpg"],
    "split/identity/image": ["train/7/a.jpg", "query/8/b.jpg", "gallery/8/c.jpg"],
    "market1501": ["query/0001_c2s1_000001_00.jpg", "bounding_box_test/0000_c1s1_000001_00.jpg"],
}


@pytest.mark.parametrize("layout", TREES)
def test_a_folders_layout_is_guessed_from_its_tree(tmp_path, layout):
    for name in TREES[layout]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    rows, guessed = read_folder(f"{tmp_path}")
    assert guessed == layout and len(rows) == len(TREES[layout])
    columns = layout.split("/")[:-1] or ["split", "identity", "camera"]
    found = {tuple(getattr(row, column) for column in columns) for row in rows}
    market = {("query", "1", "2"), ("gallery", "", "1")}
    assert found == (market if layout == "market1501" else {tuple(name.split("/")[:-1]) for name in TREES[layout]})


def test_a_layout_can_be_given_and_what_does_not_fit_is_counted(tmp_path, caplog):
    for name in "mall/7-gate-1.jpg", "mall/8-hall-1.jpg", "notes.jpg":
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    rows, _ = read_folder(f"{tmp_path}", r"(?P<domain>\w+)/(?P<identity>\d+)-(?P<camera>\w+)-\d+")
    assert [row[1:-1] for row in rows] == [("gate", "", "7", "", "", "mall"), ("hall", "", "8", "", "", "mall")]
    assert "left out 1 of 3 images, because they do not fit the layout" in caplog.text and "notes.jpg" in caplog.text
    for layout, message in {
        "": "its layout cannot be guessed, because its images lie 0 and 1 folders deep; give it: market1501, ",
        "identity/camera/image": "none of its 3 images, such as .*, fits the layout identity/camera/image; give",
        "people/image": "layout 'people/image' must be market1501, .*; columns and groups can be camera, time, iden",
        "(?P<identity": "layout .* is not a regular expression",
    }.items():
        with pytest.raises(UserError, match=message):
            read_folder(f"{tmp_path}", layout)


def items(tmp_path, text, part):
    (tmp_path / "t.csv").write_text(text)
    for line in text.splitlines()[1:]:
        (tmp_path / line.split(",")[0]).touch()
    return [item[1:] for item in getattr(read(load_config(OWN), "t.csv"), part)]


def test_what_a_query_is_compared_with_where_splits_or_cameras_are_unknown(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert items(tmp_path, "path,identity,camera\na,7,01\nb,,2\nc,8,1\n", "query") == [("7", "1"), ("8", "1")]
    assert items(tmp_path, "path,identity,camera\na,7,01\nb,,2\nc,8,1\n", "gallery")[1] == ("", "2"), "a stranger"
    by_track = "path,identity,track\na,7,5\nb,7,6\nc,8,5\n"
    assert items(tmp_path, by_track, "query") == [("7", "track 5"), ("7", "track 6"), ("8", "track 5")]
    assert items(tmp_path, "path,identity\na,7\nb,7\n", "query") == [("7", f"image {tmp_path}/{n}") for n in "ab"]
    train = items(tmp_path, "path,identity,camera,track\na,7,01,5\nb,8,,6\nc,,2,\n", "train")
    assert train == [("7", "1"), ("8", "6")], "only known identities"


@pytest.mark.parametrize(
    "text, part, message",
    [
        ("path,identity,split\na,7,train\nb,7,\n", "train", "t.csv, line 3: the split is empty; fill it in for every"),
        ("path,identity,domain\na,7,x\nb,7,\n", "train", "t.csv, line 3: the domain is empty"),
        ("path,identity,split\na,7,gallery\nb,,query\n", "query", "t.csv, line 3: a query needs an identity"),
        ("path,identity,split\na,7,train\n", "query", "t.csv has no images of the split query: name another target"),
        ("path,identity,split\na,7,query\n", "train", "t.csv has no images of the split train: name another source"),
        ("path,camera\na,7\n", "train", "none of its 1 images has an identity"),
    ],
)
def test_a_table_that_does_not_serve_is_refused_with_the_row(tmp_path, monkeypatch, text, part, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        items(tmp_path, text, part)
    (tmp_path / "t.csv").write_text("path;identity\nnowhere.jpg;7\n")
    with pytest.raises(UserError, match="t.csv, line 2: image .*/nowhere.jpg does not exist"):
        getattr(read(load_config(OWN), "t.csv"), part)


def test_a_folder_of_junk_alone_is_refused(tmp_path):
    (tmp_path / "query").mkdir()
    (tmp_path / "bounding_box_test").mkdir()
    for part in ("query", "bounding_box_test"):
        (tmp_path / part / "-1_c1s1_000001_00.jpg").touch()
    with pytest.raises(UserError, match="all its images have identity -1, which marks junk"):
        read_folder(f"{tmp_path}")


def test_calibrate_leaves_out_training_images_and_keeps_domains_apart(tmp_path, capsys):
    rows = ["a,7,1,train,mall", "b,7,1,query,mall", "c,7,1,gallery,shop", "d,-1,,gallery,shop"]
    (tmp_path / "t.csv").write_text("\n".join(["path,identity,camera,split,domain", *rows]))
    labelled = labelled_images(f"{tmp_path}/t.csv", tmp_path)
    assert labelled.columns(labelled.records) == (["mall 7", "shop 7", ""], ["mall 1", "shop 1", ""])
    assert "1 of 4 images are of the split train and are left out" in capsys.readouterr().out


@pytest.mark.parametrize("are_same", [False, True])
def test_calibrate_takes_identities_of_several_tables_as_the_config_says(tmp_path, monkeypatch, are_same):
    monkeypatch.chdir(tmp_path)
    for name in ("shop", "mall"):
        (tmp_path / f"{name}.jpg").touch()
        (tmp_path / f"{name}.csv").write_text(f"path,identity,camera\n{name}.jpg,7,1\n")
    names = ["DATASETS.NAMES", "('source.csv',)", "DATASETS.TESTS", "('shop.csv','mall.csv')"]
    cfg = load_config(OWN, [*names, "DATASETS.OWN.SAME_IDENTITIES", are_same, "MODEL.DEVICE", "cpu"])
    (tmp_path / "config.yaml").write_text(cfg.dump())
    labelled = labelled_images("", tmp_path)
    identities, cameras = labelled.columns(labelled.records)
    assert len(set(identities)) == (1 if are_same else 2) and len(set(cameras)) == 2


def test_training_on_ones_own_test_images_is_refused(data, fastreid_here):
    names = "DATASETS.NAMES ('shop.csv','office.csv') DATASETS.TESTS ('./office.csv',)".split()
    assert "office.csv is in DATASETS.NAMES and TESTS" in one_line(fastreid_here("train", "--config-file", OWN, *names))


def test_datasets_checks_a_table(data, fastreid_here):
    done = fastreid_here("datasets", "shop.csv", "office.csv", "SOLVER.IMS_PER_BATCH", 128)
    assert done.returncode == 0, done.stderr
    assert "too few identities to train on: a batch of SOLVER.IMS_PER_BATCH" in done.stdout
    with open("office.csv") as stream:
        rows = list(csv.DictReader(stream))
    rows[1]["camera"] = rows[0]["camera"]
    shutil.copyfile(rows[0]["path"], "again.jpg")
    (data / "empty.jpg").touch()
    rows += [{"path": "again.jpg", "identity": "nobody else", "camera": "9"}]
    rows += [{"path": "empty.jpg", "identity": "", "camera": ""}, {"path": "gone.jpg", "identity": "", "camera": ""}]
    write_table("office.csv", rows)
    done = fastreid_here("datasets", "office.csv")
    assert "to be corrected: office.csv; see above" in one_line(done)
    for said in (
        "2 images have no identity",
        "identities have images of one camera only, such as nobody else",
        "1 images are copies of others",
        "2 images are empty, damaged or missing:",
        f"line {len(rows) - 1}: identity nobody else, but {rows[0]['identity']} for the same picture in table ",
    ):
        assert said in done.stdout, said
    done = fastreid_here("datasets", "--layout", "camera/image", "RenderedMall/..")
    assert "layout camera/image" in done.stdout and done.returncode == 0


@pytest.mark.long
def test_two_processes_train_on_tables_and_resume_after_a_kill(data, tmp_path):
    names = f"('{data}/shop.csv','{data}/both.csv')"
    overrides = ["DATASETS.NAMES", names, "DATASETS.TESTS", f"('{data}/office.csv',)", "SOLVER.MAX_EPOCH", 4, *SYNCED]
    done(torchrun("-m", "fastreid_gdnorm", *training(tmp_path / "unbroken", overrides=overrides)))
    restarting = ["--standalone", "--max-restarts", "1", "--monitor-interval", "0.1"]
    words = training(tmp_path / "broken", "--resume", overrides=overrides)
    process = subprocess.Popen(**torchrun("-m", "fastreid_gdnorm", *words, flags=restarting))
    deadline = time.monotonic() + 200
    while not (tmp_path / "broken/last_checkpoint").is_file():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(worker_of(process.pid, 0), signal.SIGKILL)
    assert process.wait(timeout=200) == 0
    assert (tmp_path / "broken/log.txt").read_text().count("Starting training from epoch") == 2
    assert metrics(tmp_path / "broken") == metrics(tmp_path / "unbroken")
