"""Tables of results, and pictures of ranked ones."""

import csv
import json

import numpy as np
import torch
from fastreid.data import build_reid_test_loader
from matplotlib.figure import Figure
from PIL import Image
from tabulate import tabulate

from ..evaluation import METRICS, build_dist, evaluate_rank, header


def results_table(rows, columns=METRICS):
    """A Markdown table of ``rows``, {row name: {column: value}}."""
    return tabulate(
        [[name, *(values[column] for column in columns)] for name, values in rows.items()],
        headers=["", *(header(column) for column in columns)],
        tablefmt="github",
        floatfmt=".1f",
    )


def save_results(rows, folder, columns=METRICS):
    """Write ``rows`` as results.md, results.csv and results.json into ``folder``."""
    (folder / "results.md").write_text(results_table(rows, columns) + "\n")
    (folder / "results.json").write_text(json.dumps(rows, indent=2) + "\n")
    with open(folder / "results.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["row", *columns])
        writer.writerows([name, *(values[column] for column in columns)] for name, values in rows.items())


@torch.no_grad()
def ranked_results(model, cfg, dataset_name, output, num_queries=6, num_matches=8):
    """Save a picture of queries and their first matches, from the worst query to the best.

    Args:
        model: gives features (B, D); put into eval mode.
        dataset_name: a test set of fast-reid's registry.
        output: the image file to write.
        num_queries, num_matches: rows and columns. The queries are evenly spaced in the order of their AP.
    """
    model.eval()
    loader, num_query = build_reid_test_loader(cfg, dataset_name=dataset_name)
    batches = [(model(batch), batch["targets"], batch["camids"]) for batch in loader]
    features, pids, cameras = (torch.cat(column).cpu() for column in zip(*batches))
    pids, cameras = pids.numpy(), cameras.numpy()
    distances = build_dist(features[:num_query], features[num_query:], cfg.TEST.METRIC)
    q_pids, g_pids, q_cameras, g_cameras = *np.split(pids, [num_query]), *np.split(cameras, [num_query])
    _, valid, _ = evaluate_rank(distances, q_pids, g_pids, q_cameras, g_cameras)
    precisions = np.full(num_query, np.nan)
    has_match = [np.any((g_pids == pid) & (g_cameras != camera)) for pid, camera in zip(q_pids, q_cameras)]
    precisions[has_match] = valid
    by_precision = np.argsort(precisions, kind="stable")[: len(valid)]
    chosen = by_precision[np.linspace(0, len(valid) - 1, num_queries).round().astype(int)]

    figure = Figure(figsize=(1.1 * (num_matches + 1), 2.3 * num_queries), layout="constrained")
    axes = figure.subplots(num_queries, num_matches + 1, squeeze=False)
    paths = [item[0] for item in loader.dataset.img_items]
    for row, query in zip(axes, chosen):
        junk = (g_pids == q_pids[query]) & (g_cameras == q_cameras[query])
        (of_query,) = distances[query : query + 1]
        order = num_query + np.argsort(np.where(junk, np.inf, of_query), kind="stable")
        _show(row[0], paths[query], f"query\nAP {100 * precisions[query]:.0f}", "black")
        for axis, match in zip(row[1:], order):
            right = pids[match] == pids[query]
            _show(axis, paths[match], "right" if right else "wrong", "tab:green" if right else "tab:red")
    figure.suptitle(f"{dataset_name}: queries from worst to best, and their first matches in other cameras")
    figure.savefig(output, dpi=110)


def _show(axis, path, title, colour):
    with Image.open(path) as image:
        axis.imshow(image.convert("RGB").resize((64, 128)))
    axis.set_title(title, fontsize=8, color=colour)
    axis.set(xticks=[], yticks=[])
    for side in axis.spines.values():
        side.set(color=colour, linewidth=3)
