"""``fastreid train`` and ``eval``, run as commands on real image files."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from fastreid_gdnorm.evaluation import evaluate_rank
from fastreid_gdnorm.rendered import RENDERED_DOMAINS

from ..conftest import DEMO, ONE_TARGET, REPOSITORY, TINY, TOY_SEED, command, training
from .toy import last_test, losses, metrics, one_line, table


def test_the_same_seed_gives_the_same_metrics_and_another_does_not(toy_run, tmp_path, fastreid_here):
    """The first run has its own process; the others run in this one."""
    assert fastreid_here(*training(tmp_path / "same")).returncode == 0
    assert fastreid_here(*training(tmp_path / "other", "--seed", TOY_SEED + 1)).returncode == 0
    assert metrics(tmp_path / "same") == metrics(toy_run)
    other = {key: value for line in metrics(tmp_path / "other") for key, value in line.items()}
    own = {key: value for line in metrics(toy_run) for key, value in line.items()}
    assert {"mAP", "Rank-1", "loss_cls_path", "loss_triplet_path", "gaussian_process/var_a"} <= set(own) == set(other)
    assert other["total_loss"] != own["total_loss"]


@pytest.mark.long
def test_a_mean_path_with_its_own_statistics_is_trained_evaluated_and_exported(toy_run, tmp_path, fastreid_here):
    """MODEL.GDNORM.MEAN_OF path: in training, for a checkpoint without the statistics, and in an export."""
    own = ["MODEL.GDNORM.MEAN_OF", "path"]
    folder = tmp_path / "run"
    assert fastreid_here(*training(folder, overrides=own)).returncode == 0
    assert losses(folder) == losses(toy_run), "it affects only tests"
    evaluated = fastreid_here("eval", "--config-file", folder / "config.yaml")
    assert table(evaluated.stdout)[3] == round(last_test(folder)["mAP"], 2)

    # the same weights and branch statistics, but no statistics of the path's own
    late = fastreid_here("eval", "--config-file", toy_run / "config.yaml", "--output", tmp_path / "late", *own)
    assert "Estimating statistics for MODEL.GDNORM.TEST_PATH" in late.stdout and table(late.stdout) == table(
        evaluated.stdout
    )

    manifest = tmp_path / "export/manifest.json"
    done = fastreid_here("export", "--config-file", folder / "config.yaml", "--output", manifest.parent)
    assert done.returncode == 0, done.stderr
    said = json.loads(manifest.read_text())
    model = said["files"]["model.pth"]
    assert said["mean_of"] == "path" and model["difference"] <= model["tolerance"]


@pytest.mark.long
def test_the_train_command_trains_full_batches(datasets, tmp_path, fastreid_here):
    full = ["DATALOADER.DOMAIN_BATCH", "full", "SOLVER.IMS_PER_BATCH", 8]
    done = fastreid_here(*training(tmp_path, overrides=full))
    assert done.returncode == 0, done.stderr
    logged = {name for line in metrics(tmp_path) for name in line}
    assert {"loss_triplet", "loss_triplet_path", "cls_accuracy_path", "largest_a_path"} <= logged


@pytest.mark.long
def test_a_new_run_in_an_old_folder_moves_the_old_metrics_aside(toy_run, tmp_path, fastreid_here):
    (tmp_path / "metrics.json").write_text('{"iteration": 1}\n')
    assert fastreid_here(*training(tmp_path)).returncode == 0
    assert metrics(tmp_path) == metrics(toy_run)
    assert (tmp_path / "metrics.json.old").read_text() == '{"iteration": 1}\n'


def test_a_users_own_config_is_kept(toy_run, datasets, tmp_path, fastreid_here):
    own = "MODEL:\n  META_ARCHITECTURE: Baseline  # mine\n"
    (tmp_path / "config.yaml").write_text(own)
    weights = ["MODEL.WEIGHTS", toy_run / "model_final.pth", "MODEL.GDNORM.TEST_PATH", "source:1"]
    done = fastreid_here(*training(tmp_path, "--eval-only", overrides=weights))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "config.yaml").read_text() == own
    (tmp_path / "log.txt").unlink()  # with a log, the folder would count as a run
    kept = tmp_path / "config.yaml.old"
    kept.write_text("another of mine")
    assert f"{kept} already exists" in one_line(fastreid_here(*training(tmp_path)))
    kept.unlink()
    done = fastreid_here(*training(tmp_path, overrides=["SOLVER.MAX_EPOCH", "1"]))
    assert done.returncode == 0, done.stderr
    assert kept.read_text() == own and f"it is kept as {kept}" in done.stdout


def test_shipped_configs_are_found_from_anywhere(datasets, tmp_path, fastreid_here, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = training("run", "--eval-only", overrides=["MODEL.WEIGHTS", "nowhere.pth"])
    assert "checkpoint nowhere.pth does not exist" in one_line(fastreid_here(*words))


def results_of_equal_distances():
    """Rank-1, Rank-5, Rank-10, mAP and mINP on RenderedStation, rounded, if all distances are equal."""
    (station,) = [domain for domain in RENDERED_DOMAINS if domain.__name__ == "RenderedStation"]
    data = station(root=os.environ["FASTREID_DATASETS"])
    (q_pids, q_cameras), (g_pids, g_cameras) = (
        np.array([item[1:] for item in part]).T for part in (data.query, data.gallery)
    )
    equal = np.ones((len(q_pids), len(g_pids)), np.float32)
    cmc, precisions, inverse_penalties = evaluate_rank(equal, q_pids, g_pids, q_cameras, g_cameras)
    numbers = [cmc[0], cmc[4], cmc[9], precisions.mean(), inverse_penalties.mean()]
    return [round(100 * float(number), 2) for number in numbers]


def test_eval_follows_the_given_path_and_does_not_change_the_run(toy_run, tmp_path, fastreid_here):
    def evaluate(*words):
        done = fastreid_here("eval", "--config-file", toy_run / "config.yaml", *words)
        assert done.returncode == 0, done.stderr
        return table(done.stdout)

    files = {path: path.read_bytes() for path in toy_run.iterdir() if path.suffix != ".0"}
    mean = evaluate()
    assert mean[:5] == [round(last_test(toy_run)[key], 2) for key in ("Rank-1", "Rank-5", "Rank-10", "mAP", "mINP")]
    assert evaluate("--path", "mean", "MODEL.WEIGHTS", toy_run / "model_final.pth") == mean
    # source 1's neck zeroes all features, so all distances along its path are equal
    checkpoint = torch.load(toy_run / "model_final.pth", weights_only=True)
    checkpoint["model"]["heads.bottleneck.0.branches.1.weight"].zero_()
    torch.save(checkpoint, tmp_path / "zeros.pth")
    assert evaluate("--path", "source:1", "MODEL.WEIGHTS", tmp_path / "zeros.pth")[:5] == results_of_equal_distances()
    assert {path: path.read_bytes() for path in files} == files

    flags = ["--config-file", toy_run / "config.yaml", "--eval-only", "MODEL.WEIGHTS", toy_run / "model_final.pth"]
    assert table(fastreid_here("train", *flags).stdout) == mean


@pytest.mark.long
@pytest.mark.parametrize("how", ["ours", "upstream"])
def test_upstreams_script_trains_and_evaluates(toy_run, tmp_path, how):
    """projects/GDNorm/train_net.py, and upstream's own script, which lacks only the plugin's import."""
    script = REPOSITORY / "projects/GDNorm/train_net.py"
    if how == "upstream":
        text = script.read_text()
        script = tmp_path / "train_net.py"
        script.write_text("\n".join(line for line in text.splitlines() if "import fastreid_gdnorm" not in line))
    start = f"import fastreid_gdnorm, runpy; runpy.run_path({str(script)!r}, run_name='__main__')"
    arguments = [
        "--config-file",
        f"{DEMO}/gdnorm.yml",
        *TINY,
        *ONE_TARGET,
        "OUTPUT_DIR",
        tmp_path / "run",
        "SEED",
        TOY_SEED,
    ]
    words = [sys.executable, *(["-c", start] if how == "upstream" else [script]), *arguments]
    done = subprocess.run(**{**command(), "args": list(map(str, words))}, capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert metrics(tmp_path / "run") == metrics(toy_run)


@pytest.mark.long
def test_upstreams_script_trains_the_recommended_config(datasets, tmp_path):
    small = "MODEL.DEVICE cpu MODEL.BACKBONE.PRETRAIN False MODEL.BACKBONE.DEPTH 18x MODEL.BACKBONE.FEAT_DIM 512"
    data = ["DATASETS.NAMES", "('RenderedMall','RenderedCampus')", *ONE_TARGET]
    arguments = ["--config-file", REPOSITORY / "configs/GDNorm-recommended.yml", *TINY, *small.split(), *data]
    script = REPOSITORY / "projects/GDNorm/train_net.py"
    words = [sys.executable, script, *arguments, "SOLVER.AMP.ENABLED", "False", "OUTPUT_DIR", tmp_path]
    done = subprocess.run(**{**command(), "args": list(map(str, words))}, capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr
    state = torch.load(tmp_path / "model_final.pth", weights_only=True)["model"]
    assert any(key.endswith("branches.1.weight") for key in state)
    assert any(key.endswith("path_mean") for key in state)  # what MEAN_OF path tests along
    assert last_test(tmp_path)["mAP"] > 0


def test_the_train_command_runs_stock_configs_too(datasets, tmp_path, fastreid_here):
    done = fastreid_here(*training(tmp_path, config="baseline", overrides=["SOLVER.MAX_EPOCH", "1"]))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "model_final.pth").is_file()
