"""``fastreid extract`` writes a row for each image, in order, to files that other programs can read."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet

from fastreid_gdnorm import FeatureExtractor
from fastreid_gdnorm.disk import digest
from fastreid_gdnorm.errors import UserError
from fastreid_gdnorm.inference import extraction, feature_extractor, journal
from fastreid_gdnorm.inference.records import Record, find_images

from ..conftest import REPOSITORY
from ..runs.toy import one_line


@pytest.fixture
def crops(datasets):
    return datasets / "RenderedStation" / "query"


def test_rows_follow_the_order_of_the_input_and_carry_the_images_records(toy_run, crops, tmp_path, fastreid_here):
    first, second, third = sorted(crops.iterdir())[:3]
    (tmp_path / "own.jpg").write_bytes(first.read_bytes())
    (tmp_path / "table.csv").write_text(f"camera,path,time\nlobby,own.jpg,09:30\n,{third},\n")
    words = [second, tmp_path / "table.csv", f"{crops}/{first.name[:4]}*"]
    for name in "features.npz", "features.parquet":
        done = fastreid_here("extract", "--model", toy_run, *words, "--output", tmp_path / name)
        assert done.returncode == 0, done.stderr
        assert "features:" not in done.stderr, "a progress bar is for terminals only"
    like_first = sorted(crops.glob(f"{first.name[:4]}*"))
    expected = FeatureExtractor(toy_run)([second, first, third, *like_first])
    found = np.load(tmp_path / "features.npz", allow_pickle=False)
    assert np.abs(found["features"] - expected).max() <= 1e-6
    assert list(found["path"]) == [str(p) for p in (second, tmp_path / "own.jpg", third, *like_first)]
    assert list(found["camera"][:3]) == [second.name[6], "lobby", ""] and list(found["time"][1:3]) == ["09:30", ""]
    assert found["identity"][0] == str(int(second.name[:4])) and found["identity"][1] == ""
    description = json.loads(str(found["description"]))
    assert description["metric"] == "cosine" and description["features"] == 1280

    table = parquet.read_table(tmp_path / "features.parquet")
    assert np.array_equal(np.array(table["features"].to_pylist(), np.float32), found["features"])
    for column in "path", "camera", "time", "identity", "sha256":
        assert table[column].to_pylist() == list(found[column])
    assert json.loads(table.schema.metadata[b"fastreid_gdnorm"]) == description
    assert not list(tmp_path.glob("*.journal"))


def test_the_guides_code_loads_searches_and_changes_a_vector_database(
    toy_run, crops, tmp_path, fastreid_here, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    done = fastreid_here("extract", "--model", toy_run, crops, "--output", "features.parquet")
    assert done.returncode == 0, done.stderr
    guide = (REPOSITORY / "docs/your-own-data.md").read_text()
    _, _, section = guide.partition("## Into a vector database")
    load, search, across, change = re.findall(r"```python\n(.*?)```", section.partition("\n## ")[0], re.DOTALL)
    table = {name: np.array(column) for name, column in parquet.read_table("features.parquet").to_pydict().items()}
    features, cameras = table["features"], table["camera"]

    known = {}
    exec(load.replace("iter_batches(1000)", "iter_batches(5)"), known)
    client = known["client"]
    known["load"](parquet.ParquetFile("features.parquet"))
    assert client.count("people").count == len(features) > 5, "images that are given again are replaced"
    for code in search, across:
        exec(code, known)
    row = int(np.flatnonzero(table["sha256"] == known["query"].payload["sha256"])[0])
    for found, is_searched in ("found", np.full(len(features), True)), ("across", cameras != cameras[row]):
        scores = np.where(is_searched, features @ features[row], -np.inf)
        nearest = np.argsort(-scores, kind="stable")[:5]
        assert [point.payload["path"] for point in known[found]] == list(table["path"][nearest])
        assert [point.score for point in known[found]] == pytest.approx(scores[nearest], abs=1e-5)
    exec(change.splitlines()[0], known)
    assert client.retrieve("people", [known["query"].id])[0].payload["identity"] == "7"
    exec(change, known)
    left = client.scroll("people", limit=100)[0]
    assert {point.payload["path"] for point in left} == set(table["path"][cameras != cameras[row]])
    client.close()


def test_rerunning_after_a_broken_image_resumes(toy_run, crops, tmp_path, fastreid_here, monkeypatch):
    monkeypatch.setattr(extraction, "CHUNK", 4)
    images = sorted(crops.iterdir())[:10]
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no picture")
    words = ["extract", "--model", toy_run, *images[:9], broken, images[9], "--output", tmp_path / "f.npz"]
    assert "cannot read image" in one_line(fastreid_here(*words))
    assert not (tmp_path / "f.npz").exists()
    read = recorded(monkeypatch, feature_extractor, "read_picture")
    done = fastreid_here(*words, "--skip-unreadable")
    assert done.returncode == 0 and f"left out: cannot read image {broken}" in done.stdout
    assert read == [str(broken), str(images[9])], "images before the broken one were saved"
    assert list(np.load(tmp_path / "f.npz")["path"]) == [str(path) for path in images]


def recorded(monkeypatch, module, name):
    """A list that grows by the first argument of every call of a module's function."""
    calls, stock = [], getattr(module, name)
    monkeypatch.setattr(module, name, lambda *args: calls.append(args[0]) or stock(*args))
    return calls


@pytest.mark.parametrize("chunk", [1, 3, 100])
def test_each_kind_of_image_is_read_as_often_as_it_must(toy_run, crops, tmp_path, monkeypatch, chunk):
    monkeypatch.setattr(extraction, "CHUNK", chunk)
    paths = [str(path) for path in sorted(crops.iterdir())[:8]]
    copy, broken = tmp_path / "copy.jpg", tmp_path / "broken.jpg"
    copy.write_bytes(Path(paths[2]).read_bytes())
    broken.write_bytes(b"no picture")
    extractor = FeatureExtractor(toy_run, batch_size=2)
    digests = {path: digest(path) for path in paths[4:]}
    kept = journal.Journal(tmp_path / "j", extractor.description.model)
    kept.keep([digest(paths[1])], np.ones((1, 1280), np.float32))
    images = [*paths, str(copy), str(broken), str(tmp_path / "gone.jpg"), paths[0]]
    hashed = recorded(monkeypatch, extraction, "digest")
    read = recorded(monkeypatch, feature_extractor, "read_picture")
    known = {digests[paths[5]]: ""}
    found = extraction.extract_batch(extractor, [*map(Record, images)], kept, known, True, digests)
    assert set(hashed) == set(images) - set(digests)
    assert read == [image for image in images[:-1] if image not in (paths[1], paths[5], str(copy))]
    rows = [path for path in images if path not in (paths[5], *images[9:11])]
    assert [record.path for record in found.records] == rows and found.left_out == 2
    assert found.digests == [digest(path) for path in rows]
    assert found.known == [(Record(paths[5]), digests[paths[5]])]
    expected = FeatureExtractor(toy_run)(rows)
    expected[[row for row, path in enumerate(rows) if path == paths[1]]] = 1  # as the journal says
    assert np.abs(found.features - expected).max() <= 1e-5
    again = journal.Journal(tmp_path / "j", extractor.description.model)
    assert all(sha256 in again for sha256 in found.digests), "the journal has all of them"


def test_what_is_computed_is_saved_before_an_error(toy_run, crops, tmp_path):
    paths = [str(path) for path in sorted(crops.iterdir())[:5]]
    extractor = FeatureExtractor(toy_run, batch_size=2)
    kept = journal.Journal(tmp_path / "j", extractor.description.model)
    with pytest.raises(UserError, match="gone.jpg.*replace it, or leave it out with --skip-unreadable"):
        extraction.extract(extractor, [*map(Record, [*paths, str(tmp_path / "gone.jpg")])], kept)
    again = journal.Journal(tmp_path / "j", extractor.description.model)
    assert [digest(path) in again for path in paths] == [True] * 5


def test_a_journal_keeps_the_features_of_two_models_apart(tmp_path):
    ones = np.ones((1, 3), np.float32)
    journal.Journal(tmp_path / "j", "a" * 64).keep(["x"], ones)
    assert "x" in journal.Journal(tmp_path / "j", "a" * 64)
    assert "x" not in journal.Journal(tmp_path / "j", "b" * 64)


def test_a_damaged_journal_is_refused_and_no_pickle_is_read(tmp_path, toy_run, crops, fastreid_here):
    description = FeatureExtractor(toy_run).description
    folder = tmp_path / "f.npz.journal" / description.model[:16]
    folder.mkdir(parents=True)
    words = ["extract", "--model", toy_run, crops, "--output", tmp_path / "f.npz"]
    np.savez(folder / "000000.npz", digests=np.array([{"no": "text"}], object), features=np.ones((1, 1280)))
    assert "damaged" in one_line(fastreid_here(*words))
    (folder / "000000.npz").write_bytes(b"PK cut short")
    assert "damaged" in one_line(fastreid_here(*words))


def test_camera_time_and_identity_are_read_from_names(tmp_path):
    for name in (
        "0002_c1s1_000451_03.jpg",
        "0001_c2_f0046182.jpg",
        "-1_c3s2_001_00.jpg",
        "0000_c3s2_001_00.jpg",
        "x.png",
    ):
        (tmp_path / name).touch()
    found = {record.path.split("/")[-1]: record[1:] for record in find_images([str(tmp_path)])}
    assert found["0002_c1s1_000451_03.jpg"] == ("1", "s1_000451", "2")
    assert found["0001_c2_f0046182.jpg"] == ("2", "f0046182", "1")
    assert found["-1_c3s2_001_00.jpg"] == found["0000_c3s2_001_00.jpg"] == ("3", "s2_001", "")
    assert found["x.png"] == Record("")[1:]


def test_a_table_saved_by_excel_is_read(tmp_path):
    (tmp_path / "t.CSV").write_bytes(
        '\ufeffidentity, path \r\n"Smith, John",a.jpg\r\n\r\nanna,"b ""2"".jpg"\r\n'.encode()
    )
    a, b = find_images([str(tmp_path / "t.CSV")])
    assert a == Record(f"{tmp_path}/a.jpg", identity="Smith, John")
    assert b == Record(f'{tmp_path}/b "2".jpg', identity="anna")


def test_identity_minus_one_in_a_table_is_unknown(tmp_path):
    (tmp_path / "t.csv").write_text("path,identity\na.jpg,-1\nb.jpg,-1\nc.jpg,0\n")
    assert [record.identity for record in find_images([str(tmp_path / "t.csv")])] == ["", "", "0"]


def test_warnings_count_names_that_are_read_and_matches_that_are_left_out(tmp_path, caplog):
    for name in "0002_c1s1_000451_03.jpg", "20240501_c2_153000.jpg", "notes.txt":
        (tmp_path / name).touch()
    (tmp_path / "more").mkdir()
    day, person = find_images([str(tmp_path / "*")])[::-1]
    assert day[1:] == ("", "", "") and person[1:] == ("1", "s1_000451", "2")
    left_out, understood = caplog.messages
    assert left_out.startswith(f"{tmp_path}/*: left out 2 of 4 matches") and left_out.endswith("/more")
    assert "from 1 of 2 names; the others, such as 20240501_c2_153000.jpg, do not" in understood
    caplog.clear()
    (tmp_path / "more" / "round").symlink_to(tmp_path)
    assert len(find_images([str(tmp_path / "**")])) == 2
    assert caplog.messages[0].startswith(f"{tmp_path}/**: left out 1 of 3 matches")
    caplog.clear()
    files = [str(tmp_path / name) for name in ("20240501_c2_153000.jpg", "0002_c1s1_000451_03.jpg")]
    find_images(files[:1])
    assert not caplog.messages
    find_images(files)  # as if a shell had expanded an unquoted pattern
    assert caplog.messages[0].startswith(f"{files[0]} and 1 more: read identity and camera from 1 of 2 names")
    with pytest.raises(UserError, match="matches no images: the first of its 1 matches is .*notes.txt"):
        find_images([str(tmp_path / "*.txt")])


@pytest.mark.parametrize(
    "name, text, message",
    [
        ("t.csv", "file,camera\na.jpg,1\n", "t.csv has the columns file, camera; it must have path"),
        ("t.csv", "path,colour\na.jpg,red\n", "t.csv has the columns path, colour"),
        ("t.csv", "path\n", "t.csv has no rows"),
        ("t.csv", "", "t.csv has the columns none"),
        (
            "t.csv",
            "path\n\ncaf\xe9.jpg\n",
            "t.csv cannot be read as CSV in UTF-8: line 3 has byte 0xe9; save it as CSV",
        ),
        (
            "t.csv",
            "path,identity\na.jpg,1\nb.jpg,Smith, John\n",
            "t.csv, line 3: 3 fields for 2 columns; put text with commas",
        ),
        ("t.csv", "path,identity\na.jpg\n", "t.csv, line 2: 1 fields for 2 columns"),
        ("t.csv", 'path,identity\n\na.jpg,"Smith\nb.jpg,Jones"\n', "t.csv, line 3: a field continues on the next line"),
        ("t.csv", "path,camera,camera\na.jpg,1,2\n", "t.csv has the column camera twice"),
        ("t.csv", "path,camera,\na.jpg,1,\n", r"t.csv has the columns path, camera, \(no name\)"),
        ("t.csv", "path,identity\n ,1\n", "t.csv, line 2: the path is empty"),
        ("t.csv", "path,identity\na.jpg,1\nb.jpg,2\na.jpg,2\n", "lines 2 and 4 contradict each other about a.jpg"),
        (
            "t.csv",
            "path;identity\na.jpg;1\nb.jpg;Smith; John\n",
            "line 3: .* put text with semicolons",
        ),
        (
            "t.csv",
            "path,split\na.jpg,train\nb.jpg,test\n",
            "t.csv, line 3: the split must be train, query",
        ),
        ("t.csv", 'path,identity\na.jpg,1\n"b.jpg,2\nc.jpg,3\n', "t.csv cannot be read as CSV, line 3: .*double quote"),
        ("t.csv", "path\na\0.jpg\n", r"t.csv cannot be read as CSV in UTF-8: it looks like UTF-16 or has NUL bytes"),
        ("t.csv", "path\nnowhere.jpg\n", "cannot read image .*nowhere.jpg"),
        ("none.txt", None, "none.txt is not a file or folder and matches no files"),
        ("none.csv", None, "table .*none.csv does not exist"),
    ],
)
def test_missing_images_and_invalid_tables_are_refused(toy_run, tmp_path, fastreid_here, name, text, message):
    if text is not None:
        (tmp_path / name).write_text(text, encoding="latin-1")
    done = fastreid_here("extract", "--model", toy_run, tmp_path / name, "--output", tmp_path / "f.npz")
    assert re.search(message, one_line(done))


def test_an_invalid_output_or_option_is_refused_at_once(toy_run, crops, tmp_path, fastreid_here):
    done = fastreid_here("extract", "--model", "nowhere", crops, "--output", tmp_path / "f.csv")
    assert "f.csv must end in .npz or .parquet" in one_line(done)
    done = fastreid_here("extract", "--model", toy_run, crops, "--output", tmp_path / "f.npz", "--batch-size", 0)
    assert "--batch-size: must be a whole number, 1 or more; got '0'" in one_line(done)
