"""How do bounded ranking and re-ranking compare with fast-reid's own in time, memory and results?

    python projects/GDNorm/benchmarks/speed/ranking.py --output logs/ranking.json [--full]

Both kinds run through ReidEvaluator. Stock ranking needs Cython and a C compiler. The features are random: identities
in 64 dimensions plus noise, mapped into 2,048. It takes 2 minutes on two cores. Re-ranking is measured with half the
images of Market-1501. --full adds all of them, for which stock needs 6 GB of memory, and MSMT17's size: 9 minutes more,
5 of them to find the neighbours of 93,820 images. With --device cuda, ranking on the GPU is compared with ranking on
the CPU, and nothing else is measured.
"""

import multiprocessing
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # to import benchmarks

import numpy as np
import torch

import fastreid_gdnorm  # noqa: F401  patches fastreid before it is imported

# isort: split
from benchmarks.shared.measure import arguments, finish, interleave, once, peak_resident, row
from fastreid.config import get_cfg
from fastreid.evaluation import ReidEvaluator
from fastreid.utils.compute_dist import build_dist

from fastreid_gdnorm.evaluation import evaluate_rank

MARKET1501 = {"queries": 3368, "gallery": 15913, "ids": 750, "cameras": 6}
HALF = {"queries": 1684, "gallery": 7956, "ids": 375, "cameras": 6}
MSMT17 = {"queries": 11659, "gallery": 82161, "ids": 3060, "cameras": 15}
DIMENSIONS, LATENT, NOISE = 2048, 64, 1.2


def evaluator(size, ranking, rerank=False, device="cpu"):
    """A ReidEvaluator that has processed features of a data set of this size."""
    cfg = get_cfg()
    cfg.MODEL.DEVICE = device
    cfg.TEST.RANKING = ranking
    cfg.TEST.RERANK.ENABLED = rerank
    images = size["queries"] + size["gallery"]
    generator = torch.Generator().manual_seed(0)
    pids = torch.randint(size["ids"], (images,), generator=generator)
    camids = torch.randint(size["cameras"], (images,), generator=generator)
    centres = torch.randn(size["ids"], LATENT, generator=generator)
    turn = torch.randn(LATENT, DIMENSIONS, generator=generator)
    filled = ReidEvaluator(cfg, size["queries"])
    for part in torch.arange(images).split(1024):
        noise = torch.randn(len(part), LATENT, generator=generator)
        features = (centres[pids[part]] + NOISE * noise) @ turn
        filled.process({"targets": pids[part], "camids": camids[part]}, features)
    return filled


def ranking(rounds):
    """At Market-1501's size, in interleaved rounds: from features and from distances to metrics."""
    stock, bounded = evaluator(MARKET1501, "stock"), evaluator(MARKET1501, "bounded")  # stock first: it compiles
    from fastreid.evaluation import rank

    what, against = f"ranking, {in_words(MARKET1501)}", "stock in Cython"
    if not rank.IS_CYTHON_AVAI:
        return [{"what": what, "against": f"{against}: not compiled here"}]
    features, pids, camids = (
        torch.cat([part[key] for part in bounded._predictions]) for key in ("feats", "pids", "camids")
    )
    pids, camids, queries = pids.numpy(), camids.numpy(), MARKET1501["queries"]
    distances = build_dist(features[:queries], features[queries:], "cosine")
    known = (distances, pids[:queries], pids[queries:], camids[:queries], camids[queries:])
    whole = interleave({"stock": stock.evaluate, "bounded": bounded.evaluate}, rounds)
    ranks = {"stock": lambda: rank.evaluate_rank(*known), "bounded": lambda: evaluate_rank(*known)}
    alone = interleave(ranks, rounds)
    apart_by = max(float(np.abs(one - other).max()) for one, other in zip(ranks["stock"](), ranks["bounded"]()))
    return [
        row(f"{what}, from features", against, "<= 0.42", whole, "bounded", "stock")
        | {"difference in %": difference(stock._results, bounded._results)},
        row(f"{what}, from distances", against, "<= 0.4", alone, "bounded", "stock")
        | {"difference in %": round(100 * apart_by, 7)},
    ]


def on_gpu(rounds):
    """The GPU against the CPU at Market-1501's size, and the GPU alone at MSMT17's."""
    evaluators = {device: evaluator(MARKET1501, "bounded", device=device) for device in ("cpu", "cuda")}
    seconds = interleave({device: one.evaluate for device, one in evaluators.items()}, rounds, "cuda")
    results = [one._results for one in evaluators.values()]
    return [
        row(f"ranking, {in_words(MARKET1501)}", "on the CPU", "", seconds, "cuda", "cpu")
        | {"difference in %": difference(*results)},
        alone(MSMT17, "<= 2 s", device="cuda"),
    ]


def reranking(size):
    """Against stock, once."""
    stock, bounded = apart(size, "stock", True), apart(size, "bounded", True)
    seconds = {"stock": [stock[0]], "bounded": [bounded[0]]}
    what, against = f"re-ranking, {in_words(size)}", f"stock, {stock[1]:.2f} GiB"
    return once(row(what, against, "<= 1", seconds, "bounded", "stock")) | {
        "difference in %": difference(stock[2], bounded[2]),
        "GiB over features": round(bounded[1], 2),
    }


def alone(size, goal, rerank=False, device="cpu"):
    """Without stock, whose re-ranking would take three matrices of 33 GiB at MSMT17's size."""
    seconds, memory, _ = apart(size, "bounded", rerank, device)
    what = f"{'re-ranking' if rerank else 'ranking'}, {in_words(size)}"
    return {"what": what, "goal": goal, "seconds": round(seconds, 1), "GiB over features": round(memory, 2)}


def in_words(size):
    return f"{size['queries']:,} x {size['gallery']:,}"


def apart(*options):
    """Call ``measured`` in a process of its own, for a peak memory of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(measured, options)


def measured(size, ranking, rerank=False, device="cpu"):
    """(seconds of an evaluation, its peak memory beyond the features in GiB, metrics)"""
    filled = evaluator(size, ranking, rerank, device)
    torch.eye(2, device=device).mm(torch.eye(2, device=device))  # starts CUDA before the clock
    features = peak_resident()
    start = time.perf_counter()
    results = filled.evaluate()
    seconds = time.perf_counter() - start
    return seconds, (peak_resident() - features) / 2**10, results


def difference(one, other):
    """The largest difference between two sets of metrics, in %."""
    return round(max(abs(float(one[name]) - float(other[name])) for name in one), 7)


def main():
    args = arguments(__doc__, repeats=2, flags=("full",), full="also re-rank at the sizes of Market-1501 and MSMT17")
    if args.device == "cuda":
        rows = on_gpu(args.repeats)
    else:
        rows = [*ranking(args.repeats), alone(MSMT17, "<= 35 s, 1 GiB"), reranking(HALF)]
        if args.full:
            rows += [reranking(MARKET1501), alone(MSMT17, "8 GiB", rerank=True)]
    finish("Ranking", rows, args)


if __name__ == "__main__":
    main()
