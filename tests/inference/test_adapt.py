"""``fastreid adapt --by norms``: posterior paths of a site, and their use in eval, export and the extractor."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from fastreid.data import build_reid_test_loader
from fastreid.data.transforms import build_transforms
from PIL import Image

from fastreid_gdnorm import FeatureExtractor, Gallery, cli
from fastreid_gdnorm.errors import UserError
from fastreid_gdnorm.inference import adaptation, unlabelled
from fastreid_gdnorm.inference.adaptation import Adapter, adapt_site
from fastreid_gdnorm.inference.records import find_images
from fastreid_gdnorm.inference.unlabelled import by_camera, draw
from fastreid_gdnorm.layers import PosteriorPath, WeightedPath, follow
from fastreid_gdnorm.modeling.chosen_paths import camera_label
from fastreid_gdnorm.modeling.posterior_files import load_posterior, site_digest
from fastreid_gdnorm.runs.run_checkpoints import load_model
from fastreid_gdnorm.runs.run_config import load_config
from fastreid_gdnorm.runs.run_folder import load_run_config
from fastreid_gdnorm.site_cameras import SiteCameras

from ..conftest import DEMO, TINY, undisturbed
from ..runs.toy import one_line


@pytest.fixture(scope="module")
def site(datasets):
    """A folder with a site's images from four cameras."""
    return datasets / "RenderedNight" / "bounding_box_train"


@pytest.fixture(scope="module")
def adapting(toy_run, site, tmp_path_factory):
    """The folder and the output of an adaptation by camera, run in a process of its own."""
    from ..conftest import fastreid

    folder = tmp_path_factory.mktemp("adapted")
    done = fastreid("adapt", "--by=norms", "--model", toy_run, "--images", site, "--output", folder, "--by-camera")
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def images_of(cfg, files):
    resize = build_transforms(cfg, is_train=False)
    return torch.stack([resize(Image.open(file).convert("RGB")) for file in files]).float()


def test_the_path_does_not_depend_on_the_batch_size(toy_run, site, adapting, tmp_path, fastreid_here):
    folder, said = adapting
    files = sorted(site.glob("*.jpg"))
    cfg = load_run_config(toy_run, "cpu")
    expected = PosteriorPath.from_images(load_model(cfg), images_of(cfg, files))
    words = ["--model", toy_run, "--images", site, "--batch-size", 7, "--workers", 1]
    done = fastreid_here("adapt", "--by", "norms", *words, "--output", tmp_path / "small")
    assert done.returncode == 0, done.stderr
    assert "4 cameras share this path" in done.stdout and "share this path" not in said
    for file in folder / "posterior.npz", tmp_path / "small" / "posterior.npz":
        own = load_posterior(file).path
        assert own.images == len(files) == 24
        for name, layer in expected.layers.items():
            for field, values in layer._asdict().items():
                assert torch.allclose(getattr(own.layers[name], field), values, rtol=1e-3, atol=1e-4), (name, field)
    assert (
        f"{folder / 'posterior.npz'} (site): 24 images, repeatability " in said
        and "similarity to the sources: RenderedStreet 0." in said
    )
    assert said.count("fewer than 16 images can do more harm than good") == 4, "each camera has six"
    assert Image.open(folder / "weights.png").size[0] > 500
    summary = json.loads((folder / "adapt.json").read_text())
    assert summary["n"] == 24 and {camera: own["n"] for camera, own in summary["cameras"].items()} == {
        str(camera): 6 for camera in range(1, 5)
    }
    assert not json.loads((tmp_path / "small" / "adapt.json").read_text())["cameras"]


def test_a_sample_of_many_images_is_drawn_which_neither_order_nor_chance_changes(site, monkeypatch):
    records = find_images([str(site)])
    assert draw(records) == records
    monkeypatch.setattr(unlabelled, "MOST_IMAGES", 7)
    state = np.random.get_state()[1].tolist()
    drawn = draw(records)
    assert len(drawn) == len(set(drawn)) == 7 and drawn == [record for record in records if record in drawn]
    assert drawn not in (records[:7], records[-7:]) and draw(records[::-1]) == drawn[::-1]
    assert np.random.get_state()[1].tolist() == state


def test_more_images_take_no_more_passes_and_the_path_is_that_of_the_sample(
    toy_run, site, tmp_path, fastreid_here, monkeypatch
):
    monkeypatch.setattr(unlabelled, "MOST_IMAGES", 8)
    monkeypatch.setattr(adaptation, "CHECKED", 4)
    adapter, records = Adapter(toy_run, "cpu"), find_images([str(site)])
    passed = []
    next(adapter.model.backbone.children()).register_forward_pre_hook(lambda _, given: passed.append(len(given[0])))
    costs = []
    for count in 8, 9, 24:
        adapter.adapt(records[:count], tmp_path / "path.npz")
        costs.append(sum(passed))
        passed.clear()
    assert costs == [8 + 6 * 4] * 3, "the path, and the check: nearness, two halves, and four paths to compare"

    words = ["--model", toy_run, "--images", site, "--output", tmp_path / "o"]
    done = fastreid_here("adapt", "--by=both", *words)
    assert done.returncode == 0, done.stderr
    cfg = load_run_config(toy_run, "cpu")
    files = [record.path for record in draw(records)]
    expected = PosteriorPath.from_images(load_model(cfg), images_of(cfg, files))
    found = load_posterior(tmp_path / "o" / "posterior.npz")
    assert len(found.images) == 8
    for name, layer in expected.layers.items():
        assert torch.allclose(found.path.layers[name].mean, layer.mean, rtol=1e-3, atol=1e-4), name
    assert "(site): 8 of 24 images, drawn at random, repeatability" in done.stdout
    assert "(camera 1): 6 images, repeatability" in done.stdout and "only" not in done.stdout
    summary = json.loads((tmp_path / "o" / "adapt.json").read_text())
    assert (summary["n"], summary["given"]) == (8, 24)


def test_the_path_of_the_only_camera_is_the_sites(toy_run, site, tmp_path, monkeypatch):
    records = find_images([str(site / "*_c2s*.jpg")])
    adapter, calls, stock = Adapter(toy_run, "cpu"), [], Adapter.adapt
    monkeypatch.setattr(Adapter, "adapt", lambda *given: calls.append(given) or stock(*given))
    found = adapt_site(adapter, records, by_camera(records), tmp_path)
    assert len(calls) == 1 and found.cameras["2"].path is found.whole.path
    assert (tmp_path / "camera-2.npz").read_bytes() == (tmp_path / "posterior.npz").read_bytes()


def test_every_image_follows_its_cameras_path_and_results_say_which_images_were_adapted_to(
    toy_run, datasets, adapting, tmp_path, fastreid_here
):
    folder, _ = adapting
    cfg = load_run_config(toy_run, "cpu")
    cfg.MODEL.GDNORM.TEST_PATH = f"posterior:{folder}"
    model = load_model(cfg).eval()
    files = sorted((datasets / "RenderedNight" / "query").glob("*.jpg"))
    batch = {
        "images": images_of(cfg, files),
        "img_paths": [str(file) for file in files],
        "camids": torch.tensor([int(file.name.split("_c")[1][0]) - 1 for file in files]),
    }
    with torch.no_grad():
        found = model(batch)
        for image, camera, feature in zip(batch["images"], batch["camids"], found):
            path = load_posterior(folder / f"camera-{int(camera) + 1}.npz").path
            with follow(model, path):
                own = model.embed({"images": image[None]}, [path])[0]
            assert torch.allclose(own, feature, atol=1e-4 * float(own.abs().max()))

    night = ["DATASETS.TESTS", "('RenderedNight',)", "OUTPUT_DIR", toy_run]
    words = ["eval", "--config-file", toy_run / "config.yaml", "--output", tmp_path / "fair"]
    done = fastreid_here(*words, "--path", f"posterior:{folder}", *night)
    assert done.returncode == 0, done.stderr
    fair = json.loads((tmp_path / "fair" / "test_results.json").read_text())["RenderedNight"]
    assert fair["adapted to (%)"] == 0 and "transductive" not in done.stdout
    own = datasets / "RenderedNight" / "query"
    adapt = ["adapt", "--by=norms", "--model", toy_run, "--images", own, "--output", tmp_path / "own"]
    assert fastreid_here(*adapt).returncode == 0
    words[-1] = tmp_path / "seen"
    done = fastreid_here(*words, "--path", f"posterior:{tmp_path / 'own'}", *night)
    assert "RenderedNight: transductive, because " in done.stdout
    seen = json.loads((tmp_path / "seen" / "test_results.json").read_text())["RenderedNight"]
    assert 0 < seen["adapted to (%)"] < 100


def test_each_camera_is_exported_to_its_own_folder_and_gives_the_extractors_features(
    toy_run, datasets, adapting, tmp_path, fastreid_here
):
    folder, _ = adapting
    files = sorted((datasets / "RenderedNight" / "query").glob("*.jpg"))
    words = ["export", "--config-file", toy_run / "config.yaml", "--output", tmp_path, "--onnx", "OUTPUT_DIR", toy_run]
    done = fastreid_here(*words[:-2], "--path", f"posterior:{folder}", *words[-2:])
    assert done.returncode == 0, done.stderr
    assert {one.name for one in tmp_path.iterdir()} == {"posterior", *(f"camera-{camera}" for camera in range(1, 5))}
    done = fastreid_here(*words[:5], *words[-2:])
    assert done.returncode == 0 and f"earlier exports, left unchanged: {tmp_path / 'camera-1'}, " in done.stdout
    extractor = FeatureExtractor(toy_run, path=f"posterior:{folder / 'camera-2.npz'}")
    expected = extractor(files)
    other = FeatureExtractor(tmp_path / "camera-2")
    assert np.abs(other(files) - expected).max() < 1e-5
    assert np.abs(FeatureExtractor(tmp_path / "camera-2" / "model.onnx")(files) - expected).max() < 1e-4
    assert extractor.description.model == other.description.model != FeatureExtractor(toy_run).description.model
    assert np.abs(FeatureExtractor(toy_run)(files) - expected).max() > 1e-3


def test_the_instance_path_of_a_trained_model_needs_no_sources(toy_run, datasets, tmp_path, monkeypatch):
    files = sorted((datasets / "RenderedNight" / "query").glob("*.jpg"))
    expected = FeatureExtractor(toy_run)(files)
    monkeypatch.setenv("FASTREID_DATASETS", str(tmp_path))
    found = FeatureExtractor(toy_run, path="instance")(files)
    assert np.abs(found - expected).max() > 1e-3
    assert np.abs(FeatureExtractor(toy_run, path="instance", batch_size=1)(files) - found).max() < 1e-4


def test_a_gallery_is_searched_along_its_own_path(toy_run, datasets, adapting, tmp_path, fastreid_here, monkeypatch):
    query = next((datasets / "RenderedNight" / "query").glob("*.jpg"))
    monkeypatch.chdir(adapting[0])
    words = ["index", "--model", toy_run, "--path", "posterior:camera-2.npz", query.parent, "--gallery", tmp_path]
    done = fastreid_here(*words)
    assert done.returncode == 0, done.stderr
    monkeypatch.chdir(tmp_path)
    done = fastreid_here("search", "--gallery", tmp_path, query, "--json")
    assert done.returncode == 0, done.stderr
    done = fastreid_here("search", "--gallery", tmp_path, query, "--model", toy_run)
    assert done.returncode == 2 and "features cannot be compared" in done.stderr


def test_a_model_without_branches_gets_them_from_its_sources(exported, site, tmp_path, fastreid_here, monkeypatch):
    stock = tmp_path / "stock"
    stock.mkdir()
    shutil.copy(exported / "model.pth", stock)
    (stock / "config.yaml").write_text(load_config(f"{DEMO}/baseline.yml", TINY).dump())
    adapt = ["adapt", "--by=norms", "--model", stock, "--images", site, "--output"]
    done = fastreid_here(*adapt, tmp_path / "site")
    assert done.returncode == 0, done.stderr
    path = load_posterior(tmp_path / "site" / "posterior.npz").path
    assert all(layer.weight.any() for layer in path.layers.values())
    test = [
        "eval",
        "--config-file",
        stock / "config.yaml",
        "--output",
        tmp_path / "o",
        "MODEL.WEIGHTS",
        stock / "model.pth",
    ]
    for name in f"posterior:{tmp_path / 'site'}", "instance", "weighted", "weighted:0.2,0.3,0.5":
        done = fastreid_here(*test[:5], "--path", name, *test[5:])
        assert done.returncode == 0, done.stderr
    monkeypatch.setenv("FASTREID_DATASETS", str(tmp_path / "none"))
    (tmp_path / "none" / "RenderedStreet").mkdir(parents=True)
    (tmp_path / "none" / "RenderedStreet" / "x").touch()
    assert "RenderedStreet is not a rendered domain" in one_line(fastreid_here(*adapt, tmp_path / "again"))


def test_the_weighted_path_differs_between_images_and_does_not_depend_on_the_batch(toy_run, site):
    cfg = load_run_config(toy_run, "cpu")
    cfg.MODEL.GDNORM.TEST_PATH = "weighted"
    model = load_model(cfg).eval()
    images = images_of(cfg, sorted(site.glob("*.jpg"))[:4])
    with torch.no_grad():
        found = model({"images": images})
        even = model.embed({"images": images}, [WeightedPath(torch.full((3,), 1 / 3))])
        alone = model({"images": images[:1]})
    assert torch.allclose(alone[0], found[0], rtol=1e-3, atol=1e-4) and not torch.allclose(found, even, rtol=1e-3)


@pytest.mark.parametrize(
    "damage, said",
    [
        (lambda file: file.write_bytes(file.read_bytes()[:200]), "is damaged or not a posterior path"),
        (lambda file: np.savez(file, head=np.array([{}], object)), "is damaged or not a posterior path"),
        (lambda file: file.unlink(), "does not exist: create it with fastreid adapt"),
    ],
)
def test_damaged_files_are_named(toy_run, adapting, tmp_path, fastreid_here, damage, said):
    file = shutil.copy(adapting[0] / "posterior.npz", tmp_path)
    damage(tmp_path / "posterior.npz")
    words = ["--config-file", toy_run / "config.yaml", "--path", f"posterior:{file}", "--output", tmp_path / "o"]
    line = one_line(fastreid_here("eval", *words, "OUTPUT_DIR", toy_run))
    assert said in line and str(file) in line


def test_a_missing_file_of_a_site_is_named(toy_run, adapting, datasets, tmp_path, fastreid_here):
    site = shutil.copytree(adapting[0], tmp_path / "site")
    (site / "posterior.npz").unlink()
    words = ["index", "--model", toy_run, "--gallery", tmp_path / "gallery", datasets / "RenderedStation" / "query"]
    line = one_line(fastreid_here(*words, "--path", f"posterior:{site}"))
    assert f"posterior {site / 'posterior.npz'} does not exist" in line and "--path" in line


def test_mistakes_are_one_line(toy_run, exported, site, adapting, tmp_path, fastreid_here):
    (tmp_path / "one").mkdir()
    shutil.copy(min((site.parent / "query").glob("*.jpg")), tmp_path / "one" / "nameless.jpg")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "0001_c1s1_000001_00.jpg").write_text("no image")
    mistakes = {
        "at least two readable images .* better 64; got 1": ["--images", tmp_path / "one"],
        "needs the camera of .*nameless.jpg, which is unknown: name images": [
            "--images",
            site,
            tmp_path / "one",
            "--by-camera",
        ],
        "cannot read image .*000001_00.jpg": ["--images", site, tmp_path / "bad"],
        "no GDNorm layer matches 'neck'": ["--images", site, "--prior-only-layers", "neck"],
        "nowhere is not a file or folder": ["--images", "nowhere"],
        "--batch-size: must be a whole number, 2 or more; got '1'": ["--images", site, "--batch-size", "1"],
    }
    for said, words in mistakes.items():
        line = one_line(fastreid_here("adapt", "--by=norms", "--model", toy_run, "--output", tmp_path / "o", *words))
        assert re.search(said, line), line
    by_norms = ["adapt", "--by=norms", "--model", exported, "--images", site, "--output", tmp_path / "o"]
    line = one_line(fastreid_here(*by_norms))
    assert "is not a run: --by norms needs BN branches" in line
    other = tmp_path / "other.pth"
    torch.save({**torch.load(toy_run / "model_final.pth", weights_only=True), "note": 1}, other)
    words = ["eval", "--config-file", toy_run / "config.yaml", "--path", f"posterior:{adapting[0]}"]
    assert "belongs to another checkpoint, not to" in one_line(fastreid_here(*words, "MODEL.WEIGHTS", other))
    with pytest.raises(Exception, match="is an export, which has only its own path"):
        FeatureExtractor(exported, path="mean")


def test_adapting_again_replaces_only_its_own_files(toy_run, site, tmp_path, fastreid_here):
    words = ["adapt", "--by=norms", "--model", toy_run, "--output", tmp_path, "--images"]
    two = sorted(site.glob("*_c1s*.jpg"))[:2] + sorted(site.glob("*_c3s*.jpg"))[:2]
    assert fastreid_here(*words, *two, "--by-camera").returncode == 0
    (tmp_path / "camera-mine.npz").write_text("mine")
    assert fastreid_here(*words, *two[:2], "--by-camera").returncode == 0
    assert {file.name for file in tmp_path.iterdir()} == {
        *("adapt.json", "posterior.npz", "camera-1.npz", "weights.png", "camera-mine.npz")
    }
    assert (tmp_path / "camera-mine.npz").read_text() == "mine"
    before = (tmp_path / "posterior.npz").read_bytes()
    (tmp_path / "table.csv").write_text("path,camera\n" + "".join(f"{file},mine\n" for file in two))
    line = one_line(fastreid_here(*words, tmp_path / "table.csv", "--by-camera"))
    assert "camera-mine.npz already exists and was not written by fastreid adapt" in line
    (tmp_path / "camera-1.npz").write_text("changed")
    assert "camera-1.npz has changed since fastreid adapt wrote it" in one_line(fastreid_here(*words, *two))
    assert (tmp_path / "posterior.npz").read_bytes() == before
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "weights.png").write_text("a photograph")
    words[5] = tmp_path / "other"
    assert "weights.png already exists" in one_line(fastreid_here(*words, *two))
    words[5] = tmp_path / "table.csv" / "x"
    assert "a file is where a folder must be" in one_line(fastreid_here(*words, *two))


def test_copies_count_once_and_spellings_of_a_camera_are_merged(toy_run, site, tmp_path, fastreid_here):
    one, other = sorted(site.glob("*.jpg"))[:2]
    for number in range(5):
        shutil.copy(one, tmp_path / f"copy{number}.jpg")
    (tmp_path / "table.csv").write_text(
        "path,camera\n" + "".join(f"copy{number}.jpg,01\n" for number in range(5)) + f"{other},1\n"
    )
    words = ["adapt", "--by=norms", "--model", toy_run, "--by-camera", "--output", tmp_path / "o", "--images"]
    done = fastreid_here(*words, tmp_path / "table.csv")
    assert done.returncode == 0, done.stderr
    assert "4 images are copies of others and count once, such as" in done.stdout
    summary = json.loads((tmp_path / "o" / "adapt.json").read_text())
    assert summary["n"] == 2 and {camera: own["n"] for camera, own in summary["cameras"].items()} == {"1": 2}
    (tmp_path / "table.csv").write_text("path\n" + "".join(f"copy{number}.jpg\n" for number in range(5)))
    assert "better 64; got 1" in one_line(fastreid_here(*words[:4], *words[5:], tmp_path / "table.csv"))


@pytest.fixture(scope="module")
def by_table(toy_run, site, tmp_path_factory):
    """A site whose cameras are spelled in several ways in its table."""
    folder = tmp_path_factory.mktemp("by_table")
    written = {1: "cam-1", 2: "02", 3: " 3 ", 4: "gate"}
    rows = [f"{file},{written[int(file.name.split('_c')[1][0])]}" for file in sorted(site.glob("*.jpg"))]
    (folder / "table.csv").write_text("\n".join(["path,camera", *rows]) + "\n")
    words = ["adapt", "--by=norms", "--model", toy_run, folder / "table.csv", "--by-camera", "--output", folder]
    with undisturbed():
        assert cli.main(list(map(str, words))) == 0
    assert set(json.loads((folder / "adapt.json").read_text())["cameras"]) == {"cam-1", "2", "3", "gate"}
    return folder


def expected_along(toy_run, folder, file_of, files):
    """Features of length 1, of each image along the path in ``file_of(image)``."""
    cfg = load_run_config(toy_run, "cpu")
    model = load_model(cfg).eval()
    with torch.no_grad():
        rows = [
            model.embed({"images": images_of(cfg, [file])}, [load_posterior(folder / file_of(file)).path])[0]
            for file in files
        ]
    return torch.nn.functional.normalize(torch.stack(rows)).numpy()


def of_name(file):
    """The file with the path of the camera in an image's name."""
    camera = file.name.split("_c")[1][0]
    return {"1": "camera-cam-1.npz", "4": "posterior.npz"}.get(camera, f"camera-{camera}.npz")


def test_images_of_a_data_set_find_their_cameras_path_in_any_spelling(
    toy_run, datasets, by_table, tmp_path, fastreid_here
):
    night = ["DATASETS.TESTS", "('RenderedNight',)", "OUTPUT_DIR", str(toy_run), "MODEL.GDNORM.TEST_PATH"]
    cfg = load_config(toy_run / "config.yaml", [*night, f"posterior:{by_table}"])
    loader, _ = build_reid_test_loader(cfg, dataset_name="RenderedNight")
    model = load_model(cfg).eval()
    with torch.no_grad():
        found = torch.nn.functional.normalize(torch.cat([model(batch) for batch in loader])).cpu().numpy()
    files = [Path(item[0]) for item in loader.dataset.img_items]
    assert np.abs(found - expected_along(toy_run, by_table, of_name, files)).max() < 1e-4
    words = ["eval", "--config-file", toy_run / "config.yaml", "--output", tmp_path, "--path", f"posterior:{by_table}"]
    done = fastreid_here(*words, *night[:-1])
    own = sum("_c4" not in file.name for file in files)
    assert f"RenderedNight: {own} of {len(files)} images follow their own camera at the site; cameras" in done.stdout
    assert "cameras not in the site follow it as a whole: 4; cameras of the site without images: gate" in done.stdout


def test_index_and_extractor_follow_a_site_with_cameras_from_a_table(
    toy_run, datasets, by_table, tmp_path, fastreid_here
):
    files = sorted((datasets / "RenderedNight" / "query").glob("*.jpg"))
    crops = [Path(shutil.copy(file, tmp_path / f"crop{number}.jpg")) for number, file in enumerate(files)]
    cameras = [file.name.split("_c")[1][0] for file in files]
    cameras[0] = ""
    rows = [f"{crop.name},{camera and f'Cam_0{camera}'}" for crop, camera in zip(crops, cameras)]
    (tmp_path / "crops.csv").write_text("\n".join(["path,camera", *rows]) + "\n")
    along = ["--model", toy_run, "--path", f"posterior:{by_table}"]
    done = fastreid_here("index", *along, tmp_path / "crops.csv", "--gallery", tmp_path / "site")
    assert done.returncode == 0, done.stderr
    own = sum(camera in "123" for camera in cameras[1:])
    assert (
        f"{own} of {len(files)} images follow their own camera at the site; 1 with unknown camera follow" in done.stdout
    )
    gallery = Gallery.load(tmp_path / "site")
    renamed = {str(crop): file for crop, file in zip(crops[1:], files[1:])}
    expected = expected_along(
        toy_run,
        by_table,
        lambda crop: of_name(renamed[str(crop)]) if str(crop) in renamed else "posterior.npz",
        [Path(record.path) for record in gallery.records],
    )
    assert np.abs(gallery.features() - expected).max() < 1e-4
    done = fastreid_here("search", "--gallery", tmp_path / "site", tmp_path / "crops.csv", "--json")
    assert done.returncode == 0, done.stderr

    # An image that gets another camera follows that camera's path.
    other = {str(crops[0]): "2", str(crops[1]): "gate"}
    (tmp_path / "more.csv").write_text(f"path,camera\n{crops[0].name},2\n{crops[1].name},gate\n{crops[2].name},\n")
    done = fastreid_here("index", tmp_path / "more.csv", "--gallery", tmp_path / "site")
    assert "0 images added, 2 updated, 1 unchanged" in done.stdout
    told = Gallery.load(tmp_path / "site")
    assert len(told) == len(gallery)
    for record, features in zip(told.records, told.features()):
        along = other.get(record.path)
        row = [one.path for one in gallery.records].index(record.path)
        if along:
            assert record.camera == along
            expected[row] = expected_along(
                toy_run, by_table, lambda _, along=along: f"camera-{along}.npz", [Path(record.path)]
            )[0]
        assert np.abs(features - expected[row]).max() < 1e-4
    for place, camera in (0, "2"), (1, "gate"):
        cameras[place] = camera
    extractor = FeatureExtractor(toy_run, path=f"posterior:{by_table}", batch_size=3)
    found = extractor([tmp_path / "none.jpg", *crops], unreadable="skip", cameras=["2", *cameras])
    order = [record.path for record in gallery.records]
    assert np.abs(found - expected[[order.index(str(crop)) for crop in crops]]).max() < 1e-4
    with pytest.raises(UserError, match="got 1 cameras for 2 images"):
        extractor(crops[:2], cameras=["1"])


def test_a_readers_camera_number_does_not_match_a_camera_of_that_number():
    assert camera_label("a/0002_c1s1_000451_03.jpg", 0) == "1"
    # fast-reid's readers number one camera in these two ways, in training and in testing
    assert camera_label("0000_000_01_0303morning_0015_0.jpg", "msmt17_0") == camera_label("x.jpg", 0) == "camid 0"
    cameras = SiteCameras(["1", "cam-1", "c2", "camid 0", "north gate"])
    found = [
        cameras.find(name) for name in ("01", "Cam 1", "cam-1", "2", "camera_02", "0", "camid 0", "north gate", "")
    ]
    assert found == ["1", "", "cam-1", "c2", "c2", "", "camid 0", "north gate", ""]


def test_renaming_a_sites_camera_changes_the_sites_digest(by_table, tmp_path):
    before = site_digest(shutil.copytree(by_table, tmp_path / "site"))
    summary = (tmp_path / "site" / "adapt.json").read_text()
    (tmp_path / "site" / "adapt.json").write_text(summary.replace('"gate"', '"hall"'))
    assert site_digest(tmp_path / "site") != before == site_digest(by_table)


def test_a_network_that_outputs_nan_is_refused_and_writes_nothing(toy_run, site, tmp_path, fastreid_here):
    run = tmp_path / "run"
    run.mkdir()
    shutil.copy(toy_run / "config.yaml", run)
    checkpoint = torch.load(toy_run / "model_final.pth", weights_only=True)
    next(values for name, values in checkpoint["model"].items() if "conv" in name).fill_(float("nan"))
    torch.save(checkpoint, run / "model_final.pth")
    line = one_line(fastreid_here("adapt", "--by=norms", "--model", run, "--images", site, "--output", tmp_path / "o"))
    assert f"{run / 'model_final.pth'} gives no usable features for {site}" in line
    assert not list((tmp_path / "o").iterdir())
