"""Features in parts behave like one array, in memory and in files; compressed ones follow every change."""

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastreid_gdnorm.inference import feature_parts, feature_search, gallery_features
from fastreid_gdnorm.inference.compressed_features import CompressedFeatures
from fastreid_gdnorm.inference.feature_parts import FeatureParts, Part
from fastreid_gdnorm.inference.feature_search import nearest

from .galleries import DIMENSIONS, described, filled, random_images


@settings(deadline=None)
@given(st.lists(st.sampled_from(["append", "put", "remove"]), max_size=12), st.integers(0, 2**32 - 1))
def test_parts_are_one_array_after_any_changes(changes, seed):
    rng = np.random.default_rng(seed)
    parts, array = FeatureParts(3), np.empty((0, 3), np.float32)
    for change in changes:
        rows = rng.permutation(len(array))[: rng.integers(len(array) + 1)]
        features = rng.normal(size=(len(rows) if change == "put" else rng.integers(5), 3)).astype(np.float32)
        if change == "append":
            parts.append(features)
            array = np.concatenate((array, features))
        elif change == "put":
            parts.put(rows, features)
            array[rows] = features
        else:
            parts.remove(rows)
            array = np.delete(array, rows, axis=0)
        rows = rng.permutation(len(array))
        assert len(parts) == len(array) and np.array_equal(parts.take(rows), array[rows])
        assert np.array_equal(np.concatenate([*parts.blocks(), np.empty((0, 3))]), array)


def test_appended_features_are_a_copy():
    parts, features = FeatureParts(3), np.ones((2, 3), np.float32)
    parts.append(features)
    features[:] = 7
    assert parts.take([0, 1]).max() == 1


def test_rows_outside_the_features_are_refused():
    parts = FeatureParts(3, [Part(np.ones((2, 3), np.float32)), Part(np.ones((2, 3), np.float32))])
    for rows in [-1], [4]:
        with pytest.raises(IndexError, match="not all from 0 to 3"):
            parts.take(rows)


def test_images_that_come_one_by_one_make_few_parts():
    parts = FeatureParts(3)
    for number in range(1000):
        parts.append(np.full((1, 3), number, np.float32))
    assert len(parts.parts) <= 10
    assert np.array_equal(parts.take(np.arange(1000))[:, 0], np.arange(1000))


def test_an_approximate_search_reads_only_candidates(monkeypatch):
    images = random_images(6000)
    parts = FeatureParts(DIMENSIONS, [Part(images.features)])
    compressed = CompressedFeatures.of(parts, described())
    monkeypatch.setattr(parts, "blocks", None)
    read = []
    monkeypatch.setattr(parts, "take", lambda rows: read.append(len(rows)) or images.features[rows])
    nearest(parts, compressed, images.features[:3], 10, [np.arange(6000) % 2 == 0] * 3, "cosine")
    assert read == [feature_search.CANDIDATES] * 3


def test_full_files_are_kept_and_small_ones_are_joined_with_what_comes_after(monkeypatch, tmp_path):
    monkeypatch.setattr(gallery_features, "PART_BYTES", 20 * 4 * DIMENSIONS)

    def saved(made):
        made.save(tmp_path)
        return sorted(file.name for file in tmp_path.glob("*.npy"))

    made = filled(images=30)
    assert saved(made) == ["features-1-0.npy"]
    for seed in 1, 2:
        made.add(random_images(10, seed=seed))
        assert saved(made) == ["features-1-0.npy", f"features-{1 + seed}-1.npy"]
    made.add(random_images(5, seed=3))
    assert saved(made) == ["features-1-0.npy", "features-3-1.npy", "features-4-2.npy"]
    features = np.delete(made.features(), [31], axis=0)
    made.remove({31})
    assert saved(made) == ["features-1-0.npy", "features-5-1.npy"]
    assert np.array_equal(made.features(), features)
    assert np.array_equal(np.concatenate([np.load(tmp_path / name) for name in saved(made)]), features)


def test_changes_to_mapped_features_leave_their_file_as_it_is(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((4, 3), np.float32))
    part = gallery_features.read_features(tmp_path, gallery_features.SavedFile.of(tmp_path / "a.npy"), 3)
    parts = FeatureParts(3, [part])
    parts.put([2], np.ones((1, 3), np.float32))
    assert parts.take([2]).all() and not np.load(tmp_path / "a.npy").any() and parts.parts[0].saved is None


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("top", [1, 4, 7, 40])
def test_an_exact_search_through_blocks_equals_a_loop(metric, top, monkeypatch):
    monkeypatch.setattr(feature_parts, "BLOCK", 4)
    monkeypatch.setattr(feature_search, "QUERIES", 3)
    features, queries = random_images(30, metric=metric).features, random_images(5, seed=1, metric=metric).features
    parts = FeatureParts(DIMENSIONS, [Part(features[:9]), Part(features, np.arange(9, 30))])
    some, none = np.random.default_rng(2).random(30) < 0.6, np.zeros(30, bool)
    masks = [some, ~some, some, none, np.ones(30, bool)]
    found = nearest(parts, None, queries, top, masks, metric)
    for query, allowed, pairs in zip(queries.astype(np.float64), masks, found):
        scores = {}
        for row, other in enumerate(features.astype(np.float64)):
            if allowed[row]:
                scores[row] = sum(query * other) if metric == "cosine" else -sum((query - other) ** 2)
        best = sorted(scores, key=scores.get, reverse=True)[:top]
        assert [row for row, _ in pairs] == best
        assert [score for _, score in pairs] == pytest.approx([scores[row] for row in best], rel=1e-5, abs=1e-5)
    assert nearest(parts, None, queries[:0], top, [], metric) == []


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("length", [7, 24, 600])  # one number in a piece; 600 makes 200 pieces of 3
def test_compressed_features_follow_changes_and_find_the_nearest(length, metric):
    rng = np.random.default_rng(0)

    def drawn(images):
        features = (rng.normal(size=(images, 5)) @ turn).astype(np.float32)
        return features / np.linalg.norm(features, axis=1, keepdims=True) if metric == "cosine" else features

    turn = rng.normal(size=(5, length))
    features = drawn(3000)
    parts = FeatureParts(length, [Part(features)])
    description = described(metric)._replace(features=length)
    compressed = CompressedFeatures.of(parts, description)
    encoder = faiss.clone_index(compressed.index)
    encoder.reset()

    def change(name, *values):
        for changed in parts, compressed:
            getattr(changed, name)(*values)

    compressed.nearest(features[:1], 1)
    more, rows = drawn(50), np.array([0, 7, 3020])
    parts.append(more)
    compressed.add(more)
    assert 3010 in compressed.nearest(more[10:11], 30)
    change("put", rows, drawn(3))
    change("remove", np.array([1, 2, 2999, 3049]))
    padded = np.zeros((len(parts), encoder.d), np.float32)
    padded[:, :length] = parts.take(np.arange(len(parts)))
    encoder.add(padded)
    assert np.array_equal(faiss.vector_to_array(encoder.codes), faiss.vector_to_array(compressed.index.codes))

    queries, everything = drawn(20), [np.ones(len(parts), bool)] * 20
    right = nearest(parts, None, queries, 10, everything, metric)
    found = nearest(parts, compressed, queries, 10, everything, metric)
    hits = [len({row for row, _ in some} & {row for row, _ in others}) for some, others in zip(right, found)]
    assert np.mean(hits) >= 9
    scores = [dict(pairs) for pairs in nearest(parts, None, queries, len(parts), everything, metric)]
    for pairs, of_all in zip(found, scores):
        assert [score for _, score in pairs] == pytest.approx([of_all[row] for row, _ in pairs], rel=1e-4, abs=1e-4)


def test_faiss_scans_compressed_features_in_order_of_their_approximate_scores():
    features = random_images(5000).features
    compressed = CompressedFeatures.of(FeatureParts(DIMENSIONS, [Part(features)]), described())
    decoded = compressed.index.reconstruct_n(0, 5000)
    queries = random_images(4, seed=1).features
    for query, rows in zip(queries, compressed.nearest(queries, 50)):
        right = set(np.argsort(-(decoded @ query))[:50].tolist())
        assert len(right & set(rows.tolist())) >= 45  # faiss rounds the scores of pieces to 8 bits
