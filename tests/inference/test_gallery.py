"""A gallery finds what a loop over all images finds."""

import itertools
import json
import re
import tempfile

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastreid_gdnorm import FeatureExtractor, Gallery
from fastreid_gdnorm.errors import UserError
from fastreid_gdnorm.inference import gallery
from fastreid_gdnorm.inference.compressed_features import CompressedFeatures
from fastreid_gdnorm.inference.extraction import Extraction
from fastreid_gdnorm.inference.records import Record

from .galleries import DIMENSIONS, described, filled, random_images


def test_old_argument_names_of_search_still_work():
    queries, searched = random_images(3, seed=1).features, filled()
    with pytest.warns(DeprecationWarning, match="search: not_from is now exclude_cameras"):
        old = searched.search(queries, not_from=["1"] * 3)
    assert old == searched.search(queries, exclude_cameras=["1"] * 3) != searched.search(queries)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("top", [1, 10, 100])
def test_a_search_finds_what_a_loop_over_all_images_finds(metric, top):
    images, queries = random_images(60, metric=metric), random_images(9, seed=1, metric=metric)
    searched = filled(metric)
    exclude_cameras = ["0", "1", "2", "", "7"] + [""] * 4
    exclude_digests = [images.digests[place] for place in range(8)] + ["unknown"]
    found = searched.search(queries.features, top, exclude_cameras=exclude_cameras, exclude_digests=exclude_digests)
    for number, query in enumerate(queries.features.astype(float)):
        scores = {}
        for row, other in enumerate(images.features.astype(float)):
            if images.records[row].camera == exclude_cameras[number] or images.digests[row] == exclude_digests[number]:
                continue
            scores[row] = sum(query * other) if metric == "cosine" else -sum((query - other) ** 2)
        best = sorted(scores, key=scores.get, reverse=True)[:top]
        assert [match.row for match in found[number]] == best
        assert [match.score for match in found[number]] == pytest.approx(
            [scores[row] for row in best], rel=1e-5, abs=1e-5
        )
        assert [match.record for match in found[number]] == [images.records[row] for row in best]


def test_an_image_is_added_once_and_can_be_removed(tmp_path):
    changed, more = filled(images=20), random_images(10, seed=1)
    twice = Extraction(more.records * 2, more.digests * 2, np.concatenate([more.features] * 2))
    assert changed.add(twice) == 10 and changed.add(random_images(20)) == 0 and len(changed) == 30
    changed.remove({0, 5, 29})
    kept = [row for row in range(20) if row not in (0, 5)]
    assert changed.digests == [*(f"0-{row}" for row in kept), *(f"1-{row}" for row in range(9))]
    assert np.array_equal(changed.features(), np.concatenate((random_images(20).features[kept], more.features[:9])))
    assert changed.search(more.features[:1], 1)[0][0].record.path == "/1/0.jpg"
    with pytest.raises(UserError, match=r"features must be numbers of shape \(N, 24\); got \(1, 3\)"):
        changed.add(Extraction(more.records[:1], ["new"], np.ones((1, 3), np.float32)))
    with pytest.raises(UserError, match=r"queries must be numbers of shape \(Q, 24\); got \(24,\)"):
        changed.search(more.features[0])


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_a_large_gallery_is_searched_approximately_on_request(metric, monkeypatch, tmp_path):
    monkeypatch.setattr(gallery, "APPROXIMATE_FROM", 50)
    exact, small, large = filled(metric), filled(metric, 40, approximate=True), filled(metric, approximate=True)
    assert [made.is_approximate for made in (exact, small, large)] == [False, False, True]
    small.add(random_images(20, seed=1, metric=metric))
    assert small.is_approximate and len(small) == 60
    assert np.array_equal(large.features(), exact.features())
    assert large.recall(10) > 0.9
    queries = random_images(9, seed=1, metric=metric).features
    matches = large.search(queries, 5, exclude_cameras=["0"] * 9)
    assert all(match.record.camera != "0" for found in matches for match in found)
    large.save(tmp_path)
    assert Gallery.load(tmp_path).is_approximate
    assert Gallery.load(tmp_path).search(queries, 5, exclude_cameras=["0"] * 9) == matches
    large.remove(set(range(30)))
    assert not large.is_approximate and len(large.search(queries, 99)[0]) == 30


def test_records_of_known_images_are_updated(tmp_path):
    """Each image has one row with its latest record, even if it was moved, overwritten or given a camera."""
    kept = filled(images=6)
    of = random_images(6)

    def given(*images):
        """An extraction of (row in ``of``, record) pairs."""
        rows = [place for place, _ in images]
        return Extraction([record for _, record in images], [of.digests[row] for row in rows], of.features[rows])

    changes = kept.update(
        given(
            (0, of.records[0]),
            (1, Record("/moved/1.jpg", identity="9")),
            (2, Record(of.records[2].path, " 07.0 ")),
            (3, Record("/copy/3.jpg", "8")),  # its old path is given as well
            (3, Record(of.records[3].path)),
        )
    )
    assert changes == (0, 3, 1, 0, 1) and len(kept) == 6
    assert kept.records[1] == of.records[1]._replace(path="/moved/1.jpg", identity="9")
    assert kept.records[2] == of.records[2]._replace(camera="7")
    assert kept.records[3] == of.records[3]._replace(camera="8")
    other = random_images(2, seed=1)
    overwritten = other._replace(
        records=[Record(of.records[0].path, "5"), Record("")], known=[(Record(of.records[4].path), of.digests[5])]
    )
    assert kept.update(overwritten) == (2, 1, 0, 2, 0)  # the files of images 0 and 4 have other contents now
    assert kept.digests == [*of.digests[1:4], of.digests[5], *other.digests]
    assert [record.path for record in kept.records[3:]] == [of.records[4].path, of.records[0].path, ""]
    assert np.array_equal(kept.features(), np.concatenate((of.features[[1, 2, 3, 5]], other.features)))


def test_features_are_scaled_to_length_1_even_for_images_that_change_camera():
    kept, of = filled(images=4), random_images(4)
    kept.update(Extraction([record._replace(camera="9") for record in of.records], of.digests, 3 * of.features))
    assert kept.records[0].camera == "9"
    assert np.allclose(kept.features(), of.features, atol=1e-6)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_an_approximate_search_finds_as_many_images_as_an_exact_one(metric, monkeypatch):
    """For any excluded camera and any length of the list; nearly all are those that a loop finds."""
    monkeypatch.setattr(gallery, "APPROXIMATE_FROM", 5000)
    images = random_images(6000, metric=metric)
    # Nearly all images near the first query come from its own camera; camera 2 has only six images.
    near = np.argsort(((images.features - images.features[0]) ** 2).sum(axis=1))
    for rank, row in enumerate(near):
        camera = "1" if rank < 400 or rank % 2 else "0"
        images.records[row] = images.records[row]._replace(camera="2" if rank > 5993 else camera)
    made = Gallery(described(metric), approximate=True)
    made.add(images)
    assert made.is_approximate
    queries = images.features[[0, *near[3000:3007]]]
    scores = queries @ images.features.T if metric == "cosine" else -((queries[:, None] - images.features) ** 2).sum(2)
    for camera, top in [("1", 10), ("2", 10), ("", 10), ("", 500), ("", 5999), ("1", 3000)]:
        allowed = np.array([not camera or record.camera != camera for record in images.records])
        right = np.argsort(np.where(allowed, -scores, np.inf))[:, : min(top, allowed.sum())]
        found = [
            [match.row for match in matches] for matches in made.search(queries, top, exclude_cameras=[camera] * 8)
        ]
        assert {len(set(rows)) for rows in found} == {min(top, allowed.sum())}
        assert all(allowed[rows].all() for rows in found)
        assert np.mean([np.isin(*both).mean() for both in zip(right, found)]) >= 0.95, (camera, top)
    exact = made.search(queries, 9, exact=True)
    assert [[match.row for match in matches] for matches in exact] == np.argsort(-scores)[:, :9].tolist()


@settings(deadline=None, max_examples=50)
@given(st.lists(st.sampled_from(["add", "move", "remove", "search", "save"]), max_size=14), st.integers(0, 2**32 - 1))
def test_after_any_changes_a_search_finds_what_it_finds_in_a_new_gallery(changes, seed):
    """So do compressed features, alone; a search of so few images compares all of them."""
    rng, more = np.random.default_rng(seed), itertools.count()
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.setattr(gallery, "APPROXIMATE_FROM", 40)
        made = Gallery(described(), approximate=True)
        made.add(random_images(45, seed=next(more)))
        for change in [*changes, "search"]:
            rows = rng.permutation(len(made))[: rng.integers(1, 9)].tolist()
            queries, cameras = rng.normal(size=(4, DIMENSIONS)).astype(np.float32), ["0", "1", "", "9"]
            if change == "add":
                made.add(random_images(rng.integers(1, 60), seed=next(more)))
            elif change == "remove":
                made.remove(rows)
            elif change == "save":
                made.save(folder)
                made = Gallery.load(folder)
            elif change == "move":  # to a camera at which their features are others
                features = rng.normal(size=(len(rows), DIMENSIONS))
                records = [Record(made.records[row].path, str(rng.integers(3))) for row in rows]
                made.update(Extraction(records, [made.digests[row] for row in rows], features))
            else:
                fresh = Gallery(described())
                fresh.add(Extraction(made.records, made.digests, made.features()))
                found, right = (some.search(queries, 5, exclude_cameras=cameras) for some in (made, fresh))
                assert [[match[::2] for match in matches] for matches in found] == [
                    [match[::2] for match in matches] for matches in right
                ]
                if made.is_approximate:
                    encoder = faiss.clone_index(made._compressed.index)
                    encoder.reset()
                    encoder.add(made.features())
                    anew = CompressedFeatures(encoder, 0).nearest(queries, 9)
                    assert np.array_equal(made._compressed.nearest(queries, 9), anew)
                assert (
                    made.is_approximate == (len(made) >= 40)
                    and made.compressed_at * gallery.GROWTH >= len(made) * made.is_approximate
                )


@pytest.mark.parametrize("value", [np.nan, np.inf, 0])
def test_features_that_cannot_be_compared_are_refused(value):
    searched, features = filled(images=20), random_images(3, seed=1).features
    features[1] = value
    for call in (searched.search, lambda features: searched.add(random_images(3, seed=1)._replace(features=features))):
        with pytest.raises(
            UserError, match="cannot be compared: 1 of 3 are NaN, infinite or all zero; the first is number 1"
        ):
            call(features)
    assert len(searched) == 20
    with pytest.raises(UserError, match=r"of shape \(Q, 24\); got object \(1, 24\)"):
        searched.search(np.full((1, DIMENSIONS), None))
    with pytest.raises(UserError, match="exclude_cameras has 1 entries for 2 queries"):
        searched.search(random_images(2).features, exclude_cameras=["1"])
    twice_as_long = searched.search(2 * random_images(2).features.astype(np.float64), 3)
    for one, other in zip(twice_as_long, searched.search(random_images(2).features, 3)):
        assert [match.row for match in one] == [match.row for match in other]
        assert [match.score for match in one] == pytest.approx([match.score for match in other], abs=1e-6)


def test_build_accepts_a_folder_like_the_command(toy_run, datasets):
    extractor = FeatureExtractor(toy_run)
    made = Gallery.build(extractor, [str(datasets / "RenderedStation" / "query")])
    (matches,) = made.search(extractor(made.records[3].path), top=1)
    assert matches[0].row == 3 and matches[0].score == pytest.approx(1, abs=1e-5)
    assert json.loads(made.description.to_property())["model"] == extractor.description.model
    assert re.fullmatch(r"[0-9a-f]{64}", made.digests[0])
