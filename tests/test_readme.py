"""What the front page and the manual tell a newcomer to do."""

import contextlib
import doctest
import os
import re
import shlex
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from fastreid_gdnorm import FeatureExtractor

from .conftest import REPOSITORY, TINY

SECTION = re.compile(r"^## Find people in your own images\n(.*?)(?=^## )", re.MULTILINE | re.DOTALL)
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]


def test_the_front_page_is_short_and_its_first_lines_print_what_it_says():
    front, _, rest = (REPOSITORY / "README.md").read_text().partition("\n## ")
    assert len(front.splitlines()) <= 50 and len(rest.splitlines()) <= 75
    (lines,) = re.findall(r"^```pycon\n(.*?)^```", front, re.MULTILINE | re.DOTALL)
    assert lines.count(">>>") == 4
    example = doctest.DocTestParser().get_doctest(lines, {}, "README.md", None, 0)
    assert doctest.DocTestRunner().run(example).failed == 0


def test_no_sentence_stands_on_two_pages():
    seen = {}
    for page in [*PAGES, REPOSITORY / "projects/GDNorm/README.md", REPOSITORY / "CONTRIBUTING.md"]:
        text = re.sub(r"^```.*?^```|^    .*?$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
        for sentence in {words for words in re.split(r"(?<=[.:|])\s+", " ".join(text.split())) if len(words) > 60}:
            assert sentence not in seen, f"{page.name} and {seen[sentence]} both say: {sentence}"
            seen[sentence] = page.name


def test_what_contributing_names_is_there():
    """Files, from the repository or the package, and what is said to be in them."""
    text = (REPOSITORY / "CONTRIBUTING.md").read_text().replace("`fastreid_gdnorm/commands/hello.py`", "")
    roots = (REPOSITORY, REPOSITORY / "fastreid_gdnorm")
    names = re.findall(r"`([\w./-]+(?:\.(?:py|yml|toml|csv)|/))`", text)
    assert len(names) > 50
    for name in {*names, "projects/GDNorm/configs/protocol1", "projects/GDNorm/benchmarks"}:
        assert any((root / name).exists() for root in roots), name
    for words, name in re.findall(r"((?:`\w+`,? (?:and )?)+)in\s+`([\w./-]+\.py)`", text):
        file = next(root / name for root in roots if (root / name).exists())
        assert all(word in file.read_text() for word in re.findall(r"\w{4,}", words)), f"{words} in {name}"


@pytest.fixture
def newcomer(toy_run, datasets, tmp_path):
    """A folder with a model in logs/mine, crops, queries and labelled people."""
    people = datasets / "RenderedStation"
    shutil.copytree(toy_run, tmp_path / "logs" / "mine")
    shutil.copytree(people / "bounding_box_test", tmp_path / "crops")
    (tmp_path / "queries").mkdir()
    for number, query in enumerate(sorted((people / "query").iterdir())[:3]):
        shutil.copy(query, tmp_path / "queries" / f"{number}.jpg")
    others = sorted(path for part in ("bounding_box_test", "query") for path in datasets.glob(f"*/{part}/0*.jpg"))
    rows = [f"{path},{path.name[6]},{path.parts[-3]}-{path.name[:4]}" for path in others if path.name[:4] != "0000"]
    (tmp_path / "labelled.csv").write_text("\n".join(["path,camera,identity", *rows]))
    return tmp_path


@contextlib.contextmanager
def inside(folder):
    before = os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def test_every_line_of_the_section_on_your_own_images_works(newcomer, fastreid_here):
    (section,) = SECTION.findall((REPOSITORY / "docs/your-own-data.md").read_text())
    commands = re.findall(r"^    fastreid (.*)$", section, re.MULTILINE)
    (python,) = re.findall(r"^```python\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    assert len(commands) == 5
    with inside(newcomer):
        for command in commands:
            done = fastreid_here(*shlex.split(command))
            assert done.returncode == 0, done.stderr
        known = {}
        exec(python, known)
    assert known["features"].shape == (2, 1280) and len(known["matches"][0]) == 5
    page = (newcomer / "found.html").read_text()
    assert page.count('class="query"') == 3 and "called the same person" in page
    assert (newcomer / "features.npz").is_file()


# own-data.yml and its baseline at toy size, for sources with 6 identities
SMALL = [
    *TINY,
    *"MODEL.DEVICE cpu SOLVER.AMP.ENABLED False MODEL.BACKBONE.PRETRAIN False MODEL.BACKBONE.FEAT_DIM 1280".split(),
    *"MODEL.BACKBONE.DEPTH 0.5x MODEL.BACKBONE.WITH_IBN False DATALOADER.NUM_WORKERS 0 SEED 1".split(),
]
NETWORK = "build_mobilenetv2_backbone"


@pytest.fixture
def owner(toy_run, datasets, tmp_path):
    """A folder with an older model, and crops whose names say nothing, with tables of them."""
    (tmp_path / "zoo").mkdir()
    shutil.copytree(toy_run, tmp_path / "zoo" / "market_bot_R50")
    patterns = {
        "shop": "RenderedNight/*/0*.jpg",
        "mall-crops": "RenderedCampus/bounding_box_train/0*.jpg",
        "campus": "RenderedCampus/bounding_box_train/0*.jpg",
        "office": "RenderedStation/*/0*.jpg",
        "hall": "RenderedStation/bounding_box_test/0*.jpg",
        "queries": "RenderedStation/query/0*.jpg",
    }
    for name, pattern in patterns.items():
        (tmp_path / name).mkdir()
        rows = ["path;camera;identity"]
        for number, image in enumerate(sorted(datasets.glob(pattern))):
            shutil.copy(image, tmp_path / name / f"{number}.jpg")
            identity = "" if name in ("mall-crops", "hall") else f"no {image.name[:4]}"
            rows.append(f"{name}/{number}.jpg;gate {image.name[6]};{identity}")
        (tmp_path / f"{name}.csv").write_text("\n".join(rows))
    return tmp_path


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's exporter
def test_the_ten_commands_on_your_own_data_work(owner, fastreid_here):
    (section,) = re.findall(r"^## Your own data\n(.*?)(?=^## )", PAGES[0].read_text(), re.MULTILINE | re.DOTALL)
    lines = re.findall(r"^    fastreid (.*)$", section.replace("\\\n", " "), re.MULTILINE)
    commands = list(map(shlex.split, lines))
    assert len(commands) == 10
    with inside(owner):
        for words in commands:
            if words[0] == "train":
                words = [*words, *SMALL, "MODEL.GDNORM.BACKBONE", NETWORK]
            done = fastreid_here(*words)
            assert done.returncode == 0, done.stderr
            if words[0] == "group":  # the toy model's groups are no identities to train on
                lines = (owner / "mall.csv").read_text().splitlines()
                assert lines[0] == "path,camera,identity" and len(lines) == 25
                shutil.copy("campus.csv", "mall.csv")
        baseline = REPOSITORY / "projects/GDNorm/configs/own-data-baseline.yml"
        done = fastreid_here("train", "--config-file", baseline, *SMALL, "MODEL.BACKBONE.NAME", NETWORK)
        assert done.returncode == 0 and "office.csv" in done.stdout, done.stderr
    assert 'class="query"' in (owner / "found.html").read_text()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's exporter
def test_an_onnx_file_from_elsewhere_works_once_it_describes_its_input(newcomer, fastreid_here):
    page = (REPOSITORY / "docs/your-own-data.md").read_text()
    (section,) = re.findall(r"^## An ONNX file from elsewhere\n(.*?)(?=^## )", page, re.MULTILINE | re.DOTALL)
    (python,) = re.findall(r"^```python\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 512))
    axes = {"x": {0: "batch"}, "y": {0: "batch"}}
    with inside(newcomer):
        example = torch.zeros(2, 3, 256, 128)
        torch.onnx.export(
            network, (example,), "reid.onnx", input_names=["x"], output_names=["y"], dynamic_axes=axes, dynamo=False
        )
        done = fastreid_here("extract", "--model", "reid.onnx", "queries", "--output", "none.npz")
        assert done.returncode == 2 and "add the description as docs/your-own-data.md shows" in done.stderr
        exec(python, {})
        for command in re.findall(r"^    fastreid (.*)$", section, re.MULTILINE):
            done = fastreid_here(*shlex.split(command))
            assert done.returncode == 0, done.stderr
        image = Image.open("queries/0.jpg").resize((128, 256), Image.Resampling.BICUBIC)
        features = FeatureExtractor("described.onnx")("queries/0.jpg")[0]
    pixels = (np.asarray(image) / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    expected = network(torch.from_numpy(pixels.transpose(2, 0, 1)[None]).float())[0].detach().numpy()
    np.testing.assert_allclose(features, expected / np.linalg.norm(expected), atol=1e-5)
