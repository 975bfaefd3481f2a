"""The rendered domains: files, readers, and rendering that is killed."""

import dataclasses
import logging
import multiprocessing
import os
import re
import shutil
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from fastreid_gdnorm.errors import UserError
from fastreid_gdnorm.rendered import RENDERED_DOMAINS, STYLES, Plan, draw_style, drawn_domain, render_domain
from fastreid_gdnorm.rendered.dataset import RenderedDomain
from fastreid_gdnorm.rendered.person import Person
from fastreid_gdnorm.rendered.styles import TABLE

SMALL = Plan(train_ids=3, test_ids=4, images_per_id=6, distractors=6, junk=2)
SUBSETS = ("bounding_box_train", "query", "bounding_box_test")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A folder of data sets with a small version of every rendered domain."""
    root = tmp_path_factory.mktemp("datasets")
    for domain in RENDERED_DOMAINS:
        render_domain(domain.style, root / domain.__name__, SMALL)
    return root


@pytest.fixture(autouse=True)
def small_readers(monkeypatch):
    monkeypatch.setattr(RenderedDomain, "plan", SMALL)


def contents(folder):
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def fields(folder):
    """(pid, camera) of every image in a folder, as its name says."""
    names = [re.fullmatch(r"(-1|\d{4})_c(\d)s1_\d{6}_00\.jpg", path.name) for path in folder.iterdir()]
    assert all(names), "a name is not Market-1501's"
    return [(int(name[1]), int(name[2])) for name in names]


def test_layout_names_and_counts_are_market1501s(root):
    assert len(RENDERED_DOMAINS) >= 5
    for domain in RENDERED_DOMAINS:
        train, query, test = (fields(root / domain.__name__ / subset) for subset in SUBSETS)
        assert (len(train), len(query), len(test)) == (18, 8, 4 * 4 + 6 + 2)
        assert {pid for pid, _ in train} == {1, 2, 3}
        assert {pid for pid, _ in query} == {4, 5, 6, 7}
        assert {pid for pid, _ in test} == {-1, 0, 4, 5, 6, 7}
        assert {camera for _, camera in train} == {camera for _, camera in test} == {1, 2, 3, 4}
        for pid in range(4, 8):  # each query can be found through other cameras
            asked = [camera for queried, camera in query if queried == pid]
            assert len(set(asked)) == 2
            assert all(any(p == pid and c != camera for p, c in test) for camera in asked)


def test_images_depend_only_on_the_seed(root, tmp_path):
    np.random.seed(5)
    render_domain("street", tmp_path / "again", SMALL)
    render_domain("street", tmp_path / "other", SMALL, seed=1)
    first, second, other = (contents(f) for f in (root / "RenderedStreet", tmp_path / "again", tmp_path / "other"))
    assert first == second
    assert first.keys() == other.keys()
    assert not {name for name in first if first[name] == other[name]}


def test_an_image_does_not_depend_on_the_number_of_others(root, tmp_path):
    render_domain("station", tmp_path / "more", Plan(train_ids=4, test_ids=1, images_per_id=7, distractors=0, junk=0))
    few, more = contents(root / "RenderedStation"), contents(tmp_path / "more")
    train = [name for name in few if name.startswith("bounding_box_train")]
    assert all(few[name] == more[name] for name in train)


def test_the_table_of_styles_has_no_gaps():
    assert set(map(len, TABLE.values())) == {len(STYLES)}


def test_no_two_identities_look_alike():
    looks = [
        Person.random(np.random.default_rng([0, style.number, 2, pid]), style)
        for style in STYLES.values()
        for pid in range(1, 101)
    ]
    assert len(set(looks)) == len(looks)
    assert len({style.number for style in STYLES.values()}) == len(STYLES)


def test_domains_differ_in_channel_statistics(root):
    def statistics(domain):
        images = [cv2.imread(str(path)) for path in (root / domain.__name__ / SUBSETS[0]).iterdir()]
        return np.mean([np.concatenate([image.mean((0, 1)), image.std((0, 1))]) for image in images], axis=0)

    table = [statistics(domain) for domain in RENDERED_DOMAINS]
    for i, one in enumerate(table):
        for other in table[:i]:
            assert np.abs(one - other).max() > 10, "levels of 255, in the mean or spread of some channel"


def test_the_reader_gives_items_as_for_market1501(root):
    for domain in RENDERED_DOMAINS:
        data = domain(root=str(root))
        assert (len(data.train), len(data.query), len(data.gallery)) == (18, 8, 22)
        assert all(subset == sorted(subset) for subset in (data.train, data.query, data.gallery))
        assert {pid for _, pid, _ in data.train} == {f"{domain.dataset_name}_{pid}" for pid in (1, 2, 3)}
        assert {camera for _, _, camera in data.train} == {f"{domain.dataset_name}_{c}" for c in range(4)}
        assert {pid for _, pid, _ in data.gallery} == {0, 4, 5, 6, 7}
        assert {camera for _, _, camera in data.gallery} == {0, 1, 2, 3}
    assert len({domain.dataset_name for domain in RENDERED_DOMAINS}) == len(RENDERED_DOMAINS)

    combined = RENDERED_DOMAINS[0](root=str(root), combineall=True)
    assert len(combined.train) == 18 + 8 + 16
    assert combined.get_num_pids(combined.train) == 7


def test_the_reader_does_not_depend_on_the_order_of_files(root, tmp_path):
    drawn, copy = root / "RenderedMall", tmp_path / "RenderedMall"
    for name in sorted(contents(drawn), reverse=True):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(drawn / name, copy / name)

    def relative(data, base):
        return [
            [(os.path.relpath(path, base), pid, camera) for path, pid, camera in subset]
            for subset in (data.train, data.query, data.gallery)
        ]

    reader = next(domain for domain in RENDERED_DOMAINS if domain.__name__ == "RenderedMall")
    assert relative(reader(root=str(root)), root) == relative(reader(root=str(tmp_path)), tmp_path)


def test_killed_rendering_leaves_nothing_that_looks_finished(root, tmp_path):
    folder = tmp_path / "RenderedStreet"
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # a forked process has none of the other threads, and would wait for them
    fork = multiprocessing.get_context("fork")
    drawing = fork.Process(target=render_domain, args=("street", folder, Plan()), daemon=True)
    drawing.start()
    cv2.setNumThreads(threads)
    deadline = time.monotonic() + 45
    while not list(tmp_path.rglob("0003_*.jpg")):
        assert drawing.is_alive() and time.monotonic() < deadline, "rendering never started"
        time.sleep(0.01)
    drawing.kill()
    drawing.join()
    assert drawing.exitcode == -signal.SIGKILL
    assert not folder.exists()

    RENDERED_DOMAINS[0](root=str(tmp_path))
    assert contents(folder) == contents(root / "RenderedStreet")


def test_two_threads_can_render_the_same_folder_at_once(root, tmp_path):
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(render_domain, ["night"] * 2, [tmp_path / "RenderedNight"] * 2, [SMALL] * 2))
    assert contents(tmp_path / "RenderedNight") == contents(root / "RenderedNight")
    assert os.listdir(tmp_path) == ["RenderedNight"]


def test_existing_files_are_kept(root, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("fastreid"), "propagate", True)  # fast-reid's set-up turns it off
    before = contents(root / "RenderedStreet")
    render_domain("street", root / "RenderedStreet", SMALL, seed=3)
    assert contents(root / "RenderedStreet") == before
    assert "was rendered with another seed: remove the folder" in caplog.text

    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(UserError, match=r"mine is not a rendered domain: .*; remove it"):
        render_domain("street", tmp_path / "mine", SMALL)
    assert contents(tmp_path / "mine") == {"thesis.txt": b"years of work"}


def test_mistakes_are_named(tmp_path):
    with pytest.raises(ValueError, match="there is no style 'beach'; choose from street, mall"):
        render_domain("beach", tmp_path / "a", SMALL)
    with pytest.raises(ValueError, match="images_per_id must be 3 or more, .*; got 2"):
        Plan(images_per_id=2)
    with pytest.raises(ValueError, match="must be from 2 to 1501, .*; got 1600"):
        Plan(train_ids=1500, test_ids=100)
    assert not os.listdir(tmp_path)


def test_a_random_style_depends_only_on_its_seed_and_its_ranges_contain_the_named_styles(tmp_path):
    styles = [draw_style(seed) for seed in range(200)]
    assert (
        styles[7] == draw_style(7)
        and len({style.number for style in styles} | {s.number for s in STYLES.values()}) == 205
    )
    for field in dataclasses.fields(styles[0]):
        own = [getattr(style, field.name) for style in styles]
        if field.type is float or field.type == "float":
            for named in STYLES.values():
                reach = 0.1 * (max(own) - min(own))
                assert min(own) - reach <= getattr(named, field.name) <= max(own) + reach, field.name
    domain = drawn_domain(7, SMALL, "Small")
    assert domain.__name__ == "Small7"
    drawn = domain(root=str(tmp_path))
    assert len(drawn.train) == 18
    render_domain(draw_style(7), tmp_path / "again", SMALL)
    assert contents(tmp_path / "again") == contents(tmp_path / "Small7")
