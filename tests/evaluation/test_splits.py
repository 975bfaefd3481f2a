"""Tests on splits: they equal a naive loop, extract features once, and agree in every command."""

import csv
import json
from collections import OrderedDict

import numpy as np
import pytest
import torch
from fastreid.engine import DefaultTrainer

from fastreid_gdnorm.data import read
from fastreid_gdnorm.evaluation import SplitResults, add_average
from fastreid_gdnorm.runs.run_checkpoints import load_model

from ..conftest import fastreid, training

TARGETS = ("DGVIPeR", "DGPRID", "DGGRID", "DGiLIDS")
METRICS = ("Rank-1", "Rank-5", "Rank-10", "mAP", "mINP")


@pytest.fixture(scope="module")
def run(public_root, tmp_path_factory):
    """A toy training, tested on the four small targets."""
    folder = tmp_path_factory.mktemp("splits")
    words = training(folder, overrides=["SOLVER.MAX_EPOCH", 1, "DATASETS.TESTS", TARGETS])
    done = fastreid(*words, env={"FASTREID_DATASETS": str(public_root)})
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


@pytest.fixture
def trained(run, public_datasets, tiny):
    cfg = tiny("gdnorm", "DATASETS.TESTS", str(TARGETS), "OUTPUT_DIR", str(run[0]))
    return cfg, load_model(cfg)


class RandomFeatures(torch.nn.Module):
    """Gives images random whole-number features, free of near ties, and records them: [(path, unit vector)]."""

    def __init__(self):
        super().__init__()
        self.random, self.features = np.random.RandomState(0), []

    def forward(self, batch):
        features = torch.from_numpy(self.random.randint(-99, 100, (len(batch["img_paths"]), 8)))
        self.features += zip(batch["img_paths"], torch.nn.functional.normalize(features.double(), dim=1))
        return features.float()


def naive_rank_1_and_map(query, gallery, features):
    """Rank-1 and mAP in %, by a loop over queries.

    Args:
        query, gallery: items (path, pid, camera).
        features: {path: unit vector}.
    """
    firsts, precisions = [], []
    for path, pid, camera in query:
        others = [item for item in gallery if item[1:] != (pid, camera)]
        others.sort(key=lambda item: -float(features[path] @ features[item[0]]))
        right = [item[1] == pid for item in others]
        firsts.append(right[0])
        hits = [place for place, is_right in enumerate(right, 1) if is_right]
        precisions.append(np.mean([number / place for number, place in enumerate(hits, 1)]))
    return 100 * np.mean(firsts), 100 * np.mean(precisions)


def test_mean_and_deviation_equal_a_naive_loop_and_every_image_is_extracted_once(public_datasets, tiny):
    cfg, model = tiny("gdnorm", "DATASETS.TESTS", str(TARGETS)), RandomFeatures()
    results = DefaultTrainer.test(cfg, model)
    data = {name: read(cfg, name) for name in TARGETS}
    assert sorted(path for path, _ in model.features) == sorted(i[0] for d in data.values() for i in d.images)

    features = dict(model.features)
    for name in TARGETS:
        images, splits = data[name].images, data[name].splits
        expected = [
            naive_rank_1_and_map(*([images[place] for place in part] for part in split), features) for split in splits
        ]
        assert len(expected) == 10
        for metric, values in zip(("Rank-1", "mAP"), np.array(expected).T):
            assert results[name][metric] == pytest.approx(values.mean(), abs=1e-3)
            assert results[name][f"{metric} std"] == pytest.approx(values.std(ddof=1), abs=1e-3)
            assert results["average"][metric] == pytest.approx(np.mean([results[t][metric] for t in TARGETS]))


@pytest.mark.long
def test_training_writes_the_summary_to_log_metrics_csv_and_json(run):
    folder, stdout = run
    logged = json.loads((folder / "metrics.json").read_text().splitlines()[-1])
    whole = json.loads((folder / "test_results.json").read_text())
    assert list(whole) == [*TARGETS, "average"]
    with open(folder / "test_results.csv") as file:
        rows = {(row["target"], row["split"]): row for row in csv.DictReader(file)}
    assert len(rows) == 4 * (10 + 2) + 2
    for name in whole:
        for metric in METRICS:
            assert logged[f"{name}/{metric}"] == whole[name][metric] == float(rows[name, "mean"][metric])
            assert logged[f"{name}/{metric} std"] == float(rows[name, "std"][metric])
    line = next(line for line in stdout.splitlines() if line.startswith("| average"))
    assert f"{whole['average']['Rank-1']:.1f} ± {whole['average']['Rank-1 std']:.1f}" in line
    for number, split in enumerate(whole["DGGRID"]["splits"]):
        assert float(rows["DGGRID", str(number)]["mAP"]) == split["mAP"]


@pytest.mark.long
def test_eval_repeats_the_results_of_training_and_writes_them_elsewhere(run, public_datasets, tmp_path, fastreid_here):
    folder, _ = run
    before = (folder / "test_results.json").read_bytes()
    for words, output in ((), folder / "eval-mean"), (("--output", tmp_path / "x"), tmp_path / "x"):
        done = fastreid_here("eval", "--config-file", folder / "config.yaml", *words)
        assert done.returncode == 0, done.stderr
        assert json.loads((output / "test_results.json").read_text()) == json.loads(before)
    assert (folder / "test_results.json").read_bytes() == before


@pytest.mark.long
def test_results_of_one_target_with_splits_have_the_same_form_as_stock(trained):
    cfg, model = trained
    several = DefaultTrainer.test(cfg, model)["DGVIPeR"]
    cfg.defrost()
    cfg.DATASETS.TESTS = ("DGVIPeR",)
    one = DefaultTrainer.test(cfg, model)
    assert isinstance(one, OrderedDict) and one == several


def test_the_average_has_the_deviation_of_independent_splits():
    splits = [[OrderedDict(mAP=value) for value in values] for values in ([1.0, 3.0], [5.0, 9.0])]
    results = OrderedDict(zip(("one", "other", "plain"), [*map(SplitResults, splits), OrderedDict(mAP=50.0)]))
    add_average(results)
    assert results["average"] == {"mAP": 4.5, "mAP std": pytest.approx(((2 + 8) ** 0.5) / 2)}


@pytest.mark.long
@pytest.mark.parametrize("name", ["DGCUHK02", "DGCUHKSYSU"])
def test_a_data_set_without_queries_cannot_be_a_target(run, public_datasets, name, fastreid_here):
    done = fastreid_here("eval", "--config-file", run[0] / "config.yaml", "DATASETS.TESTS", f"('{name}',)")
    assert done.returncode == 2 and f"DATASETS.TESTS: {name} has no queries and is for training only" in done.stderr
