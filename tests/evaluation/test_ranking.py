"""Bounded ranking and re-ranking: equal to naive loops and to fast-reid's functions, in less memory."""

import importlib
import tracemalloc

import numpy as np
import pytest
import torch
from fastreid.evaluation import ReidEvaluator, rank, reid_evaluation
from fastreid.evaluation.roc import evaluate_roc as stock_roc
from fastreid.utils.compute_dist import build_dist as stock_dist
from fastreid.utils.compute_dist import compute_jaccard_distance

from fastreid_gdnorm.errors import UserError
from fastreid_gdnorm.evaluation import build_dist, distances, evaluate_rank, evaluate_roc, ranking
from fastreid_gdnorm.integration import bounded_ranking

MAX_RANK = 50


def labels(num_query, num_gallery, ids, cameras, seed=0):
    """Identities of queries and gallery, then their cameras; a third of each side has identities the other lacks."""
    rng = np.random.default_rng(seed)
    q_pids, g_pids = 3 * rng.integers(0, ids, (2, max(num_query, num_gallery)))
    q_pids, g_pids = q_pids[:num_query], g_pids[:num_gallery]
    q_pids[::3] += 1
    g_pids[::3] += 2
    return q_pids, g_pids, rng.integers(0, cameras, num_query), rng.integers(0, cameras, num_gallery)


def naive(distances, q_pids, g_pids, q_camids, g_camids):
    """CMC, AP and INP by their definitions, for distances without ties."""
    cmc, all_ap, all_inp = np.zeros(MAX_RANK), [], []
    for row, pid, camera in zip(distances.astype(np.float64), q_pids, q_camids):
        gallery = [item for item in zip(row, g_pids, g_camids) if (item[1], item[2]) != (pid, camera)]
        right = [rank for rank, item in enumerate(sorted(gallery), 1) if item[1] == pid]
        if right:
            all_ap.append(sum(found / rank for found, rank in enumerate(right, 1)) / len(right))
            all_inp.append(len(right) / right[-1])
            cmc += [right[0] <= rank for rank in range(1, MAX_RANK + 1)]
    return cmc / len(all_ap), all_ap, all_inp


def assert_same(results, expected):
    for own, other in zip(results, expected):
        np.testing.assert_allclose(own, other, rtol=0, atol=1e-6)


def without_ties(shape):
    return np.random.default_rng(1).permutation(np.arange(np.prod(shape), dtype=np.float32)).reshape(shape)


@pytest.fixture(params=["one query", "a few", "all"])
def block(request, monkeypatch):
    """Blocks of that many queries, for a gallery of 300 images."""
    monkeypatch.setattr(distances, "BLOCK_BYTES", {"one query": 1, "a few": 7 * 4 * 300, "all": 2**30}[request.param])


@pytest.fixture(params=["query by query", "all queries at once"])
def way(request, monkeypatch):
    """The way for distances on the CPU, and that for a GPU."""
    if request.param == "all queries at once":
        at_once = ranking._ranks_at_once
        monkeypatch.setattr(ranking, "_ranks_by_query", lambda rows, own: at_once(torch.as_tensor(rows), own))


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("to_sort", [0, 40])
def test_ranking_follows_the_definitions(block, to_sort, monkeypatch):
    monkeypatch.setattr(ranking, "MATCHES_TO_SORT", to_sort)
    of = labels(60, 300, ids=12, cameras=3)
    results = evaluate_rank(without_ties((60, 300)), *of)
    assert_same(results, naive(without_ties((60, 300)), *of))
    assert len(results[1]) < 60, "some queries are left out"


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("to_sort", [0, 40])
@pytest.mark.parametrize("levels", [1, 5, 300])
def test_ties_and_nan_are_ranked_as_in_stock(levels, to_sort, monkeypatch):
    monkeypatch.setattr(ranking, "MATCHES_TO_SORT", to_sort)
    of = labels(60, 300, ids=12, cameras=3)
    tied = np.random.default_rng(2).integers(0, levels, (60, 300)).astype(np.float32) / levels
    tied[::4, ::5] = np.inf
    tied[::6, ::7] = np.nan
    assert_same(evaluate_rank(tied, *of), rank.evaluate_rank(tied, *of, use_cython=False))


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("num_gallery", [2, 30])
def test_a_gallery_smaller_than_the_largest_rank_is_ranked_as_if_strangers_were_far_away(num_gallery):
    of = np.array([0, 1]), np.arange(num_gallery) % 2, np.array([0, 0]), np.ones(num_gallery, int)
    small = without_ties((2, num_gallery))
    cmc, *_ = results = evaluate_rank(small, *of)
    assert cmc.shape == (MAX_RANK,) and cmc[-1] == 1
    assert_same(results, naive(small, *of))


@pytest.mark.usefixtures("way")
def test_no_match_is_an_error():
    with pytest.raises(UserError, match="none of 2 queries"):
        evaluate_rank(np.zeros((2, 3)), np.array([7, 8]), np.array([7, 7, 9]), np.zeros(2), np.zeros(3))


def clustered(images, dimensions=16, ids=30, seed=3):
    """Features and identities; every tenth feature has a duplicate."""
    generator = torch.Generator().manual_seed(seed)
    pids = torch.randint(ids, (images,), generator=generator)
    centres = torch.randn(ids, dimensions, generator=generator)
    features = centres[pids] + 0.8 * torch.randn(images, dimensions, generator=generator)
    features[::10] = features[1::10]
    return features, pids


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_distances_and_their_sums_equal_stock(metric, block):
    features = clustered(200)[0].double()
    queries, gallery = features[:50], features[50:]
    ours, stock = build_dist(queries, gallery, metric), stock_dist(queries, gallery, metric)
    np.testing.assert_allclose(ours[10:30], stock[10:30], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose((ours * 0.7 + ours * 0.1)[:5], stock[:5] * 0.8, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("k1, k2", [(20, 6), (20, 1), (7, 3)])
def test_jaccard_distances_equal_stock(k1, k2):
    features, _ = clustered(400)
    features = torch.nn.functional.normalize(features)
    stock = compute_jaccard_distance(features, k1=k1, k2=k2, search_option=3)[:100, 100:]
    ours = build_dist(features[:100], features[100:], "jaccard", k1=k1, k2=k2)[:]
    assert (stock < 0.9).mean() > 0.01
    np.testing.assert_allclose(ours, stock, rtol=0, atol=1e-5)  # float32 sums; one neighbour changes 1e-3


def test_roc_has_the_same_pairs_as_stock(block):
    of = labels(60, 300, ids=12, cameras=3)
    results = evaluate_roc(without_ties((60, 300)), *of)
    expected = stock_roc(without_ties((60, 300)), *of, use_cython=False)
    assert sorted(zip(*results)) == sorted(zip(*expected))


@pytest.fixture
def evaluator(tiny):
    """A function (*overrides) -> a ReidEvaluator that has seen clustered features; 40 are queries."""
    features, pids = clustered(240, dimensions=32, ids=24, seed=26)
    features[::10] += 0.5  # no duplicates
    camids = torch.arange(240) % 4

    def build(*overrides):
        evaluator = ReidEvaluator(tiny("gdnorm", *overrides), num_query=40)
        for part in torch.arange(240).split(64):
            evaluator.process({"targets": pids[part], "camids": camids[part]}, features[part])
        return evaluator

    return build


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_features_of_any_precision_are_ranked_by_their_distances(dtype, block):
    features, pids = clustered(360, ids=24)
    of = pids[:60].numpy(), pids[60:].numpy(), np.arange(60) % 3, np.arange(300) % 3
    matrix = build_dist(features[:60].to(dtype), features[60:].to(dtype), "euclidean")
    assert_same(evaluate_rank(matrix, *of), rank.evaluate_rank(matrix[:], *of, use_cython=False))


@pytest.mark.parametrize("free, room", [(2**30 + 800, True), (2**30 + 799, False)])
def test_only_a_gpu_with_room_for_features_and_blocks_ranks(free, room, monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free - 50, 2**40))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 70)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 20)
    assert bounded_ranking._has_room(torch.device("cuda"), 400) is room
    assert not bounded_ranking._has_room(torch.device("cpu"), 400)


def margin(distances, q_pids, g_pids, *_):
    """The smallest gap between a right and a wrong match of any query, relative to the largest distance."""
    least = [
        np.abs(np.subtract.outer(row[g_pids == pid], row[g_pids != pid])).min(initial=np.inf)
        for row, pid in zip(distances.astype(np.float64), q_pids)
    ]
    return min(least) / distances.max()


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("options", [[], ["AQE"], ["RERANK"], ["AQE", "RERANK"]], ids=str)
def test_the_evaluator_gives_stock_results(metric, options, evaluator, monkeypatch):
    monkeypatch.setattr(reid_evaluation, "compile_helper", lambda: None)
    monkeypatch.setattr(distances, "BLOCK_BYTES", 7 * 4 * 200)
    overrides = ["TEST.METRIC", metric, "TEST.ROC.ENABLED", "True"]
    overrides += [word for option in options for word in (f"TEST.{option}.ENABLED", "True")]
    bounded = evaluator(*overrides, "TEST.RANKING", "bounded").evaluate()

    by_stock, ranked = evaluator(*overrides, "TEST.RANKING", "stock"), []
    module = importlib.import_module("fastreid.evaluation.rank")  # the module as the evaluator imports it
    stock_rank = module.evaluate_rank
    monkeypatch.setattr(module, "evaluate_rank", lambda *args: ranked.append(args) or stock_rank(*args))
    stock = by_stock.evaluate()
    assert margin(*ranked[0]) > 2e-6, "rounding cannot change a rank on any machine"
    assert list(bounded) == list(stock)
    assert 20 < stock["mAP"] < 99.5
    for name in stock:
        assert bounded[name] == pytest.approx(stock[name], abs=1e-4), name


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_a_network_that_cannot_tell_people_apart_is_ranked_as_in_stock(metric, tiny, monkeypatch):
    """Rounding alone decides the order of its images, so distances must equal stock's to the last digit."""
    monkeypatch.setattr(reid_evaluation, "compile_helper", lambda: None)
    _, pids = clustered(240, ids=24)
    features = 3 + 1e-6 * torch.randn(240, 64, generator=torch.Generator().manual_seed(0))
    found = []
    for ranking_by in ("bounded", "stock"):
        evaluator = ReidEvaluator(tiny("gdnorm", "TEST.METRIC", metric, "TEST.RANKING", ranking_by), num_query=40)
        evaluator.process({"targets": pids, "camids": torch.arange(240) % 4}, features)
        found.append(evaluator.evaluate())
    assert found[0] == pytest.approx(found[1], abs=1e-4) and found[1]["mAP"] < 30


def test_stock_functions_are_restored_after_a_test_and_after_its_failure(evaluator, monkeypatch):
    before = reid_evaluation.build_dist, rank.evaluate_rank
    evaluator().evaluate()
    monkeypatch.setattr(ranking, "blocks", None)
    with pytest.raises(TypeError):
        evaluator().evaluate()
    assert before == (reid_evaluation.build_dist, rank.evaluate_rank)


def test_bounded_ranking_needs_no_compiler_and_an_unknown_ranking_is_an_error(tiny, monkeypatch):
    monkeypatch.setattr(reid_evaluation, "compile_helper", None)
    ReidEvaluator(tiny(), num_query=1)
    cfg = tiny()
    cfg.TEST.RANKING = "fast"
    with pytest.raises(UserError, match="TEST.RANKING must be bounded or stock; got 'fast'"):
        ReidEvaluator(cfg, num_query=1)


def test_reranking_takes_far_less_memory_than_dense_matrices(monkeypatch):
    num_query, num_gallery = 1000, 4000
    monkeypatch.setattr(distances, "BLOCK_BYTES", 2**18)
    features, pids = clustered(num_query + num_gallery, ids=200)
    pids, camids = pids.numpy(), np.arange(num_query + num_gallery) % 4
    tracemalloc.start()  # sees NumPy's arrays, not torch's
    matrix = build_dist(features[:num_query], features[num_query:], "jaccard")
    evaluate_rank(matrix, pids[:num_query], pids[num_query:], camids[:num_query], camids[num_query:])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < (num_query + num_gallery) ** 2 * 12 / 4  # stock has three float32 matrices
