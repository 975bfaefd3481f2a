"""``fastreid train`` and ``eval`` through the front door: other processes, real image files, a real kill."""

import json
import os
import re
import shutil
import signal
import subprocess
import time

import numpy as np
import pytest
import torch
from fastreid.engine import DefaultTrainer
from fastreid.engine.hooks import PeriodicCheckpointer
from fastreid.utils.events import EventStorage

from fastreid_gdnorm.evaluation import evaluate_rank
from fastreid_gdnorm.rendered import RENDERED_DOMAINS

from ..conftest import DEMO, REPOSITORY, TINY, command, fastreid

CLOCKS = {"time", "data_time", "eta_seconds"}  # what a metrics file says of the machine, not of the run


def metrics(folder):
    lines = (folder / "metrics.json").read_text().splitlines()
    return [{key: value for key, value in json.loads(line).items() if key not in CLOCKS} for line in lines]


def train(folder, *flags, config="gdnorm", overrides=()):
    return ["train", "--config-file", f"{DEMO}/{config}.yml", *flags, *TINY, "OUTPUT_DIR", str(folder), *overrides]


@pytest.fixture(scope="module")
def trained(datasets, tmp_path_factory):
    """A finished toy run of GDNorm with seed 3."""
    folder = tmp_path_factory.mktemp("trained")
    done = fastreid(*train(folder, "--seed", 3))
    assert done.returncode == 0, done.stderr
    return folder


def test_the_same_seed_gives_the_same_metrics_and_another_does_not(trained, tmp_path):
    assert fastreid(*train(tmp_path / "same", "--seed", 3)).returncode == 0
    assert fastreid(*train(tmp_path / "other", overrides=["SEED", "4"])).returncode == 0
    assert metrics(tmp_path / "same") == metrics(trained)
    other = {key: value for line in metrics(tmp_path / "other") for key, value in line.items()}
    own = {key: value for line in metrics(trained) for key, value in line.items()}
    assert {"mAP", "Rank-1", "loss_cls_path", "loss_triplet_path", "gaussian_process/var_a"} <= set(own) == set(other)
    assert other["total_loss"] != own["total_loss"]


# config, workers, epochs between tests, the checkpoint after which it is killed (None: before the first)
KILLS = [("gdnorm", 0, 1, "model_0001"), ("gdnorm", 2, 4, "model_0001"), ("baseline", 0, 4, None)]


@pytest.mark.parametrize("config, workers, eval_period, checkpoint", KILLS)
def test_killed_in_mid_run_and_resumed_it_ends_with_the_metrics_of_an_unbroken_run(
    datasets, tmp_path, config, workers, eval_period, checkpoint
):
    longer = f"SOLVER.MAX_EPOCH 4 DATALOADER.NUM_WORKERS {workers} TEST.EVAL_PERIOD {eval_period}".split()
    unbroken, broken = tmp_path / "unbroken", tmp_path / "broken"
    assert fastreid(*train(unbroken, "--seed", 5, config=config, overrides=longer)).returncode == 0

    # where it is killed before its first checkpoint, that is far away
    late = (
        [] if checkpoint else ["SOLVER.MAX_EPOCH", "400", "SOLVER.CHECKPOINT_PERIOD", "400", "TEST.EVAL_PERIOD", "400"]
    )
    process = subprocess.Popen(
        **command(*train(broken, "--seed", 5, config=config, overrides=[*longer, *late])),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    sign = broken / f"{checkpoint}.pth" if checkpoint else broken / "metrics.json"
    deadline = time.monotonic() + 120
    while not (sign.exists() and sign.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it was still running"
    with open(broken / "metrics.json", "a") as file:
        file.write('{"iteration": 14, "total_lo')  # as a kill in the middle of a line leaves it

    resumed = fastreid(*train(broken, "--seed", 5, "--resume", config=config, overrides=longer))
    assert resumed.returncode == 0, resumed.stderr
    # 1: killed after the checkpoint was written and before last_checkpoint named it
    assert re.search(rf"Starting training from epoch {'[123]' if checkpoint else 0}\b", resumed.stdout)
    assert metrics(broken) == metrics(unbroken)

    again = fastreid(*train(broken, "--seed", 5, "--resume", config=config, overrides=longer))
    assert again.returncode == 0 and "Training had come to its end" in again.stdout
    assert metrics(broken) == metrics(unbroken)


def test_a_resumed_training_has_the_scale_of_its_gradients_and_its_best_metric(tiny):
    cfg = tiny("gdnorm", "SOLVER.MAX_EPOCH", "2")
    trainer = DefaultTrainer(cfg)
    trainer.checkpointer.save("before_training")
    trainer._trainer.grad_scaler = torch.amp.GradScaler("cpu", init_scale=128.0)
    trainer._hooks.clear()
    trainer.register_hooks(trainer.build_hooks())
    (hook,) = [hook for hook in trainer._hooks if isinstance(hook, PeriodicCheckpointer)]
    with EventStorage() as trainer.storage:
        hook.before_train()
        for epoch, tested in (0, 12.5), (1, 10.0), (1, 25.0):
            trainer.storage.put_scalar("metric", tested, smoothing_hint=False)
            hook.step(epoch, metric=tested)
            best = torch.load(trainer.checkpointer.get_checkpoint_file(), weights_only=True)["best_metric"]
            assert best == {"best_metric": max(12.5, tested)}

    resumed = DefaultTrainer(cfg)
    resumed._trainer.grad_scaler = torch.amp.GradScaler("cpu")
    resumed._hooks.clear()
    resumed.register_hooks(resumed.build_hooks())
    resumed.resume_or_load(resume=True)
    assert resumed.grad_scaler.get_scale() == 128.0
    (hook,) = [hook for hook in resumed._hooks if isinstance(hook, PeriodicCheckpointer)]
    assert hook.best_metric == 25.0


def test_the_mean_path_of_its_own_statistics_trains_resumes_evaluates_and_leaves(trained, tmp_path):
    """MODEL.GDNORM.MEAN_OF path: in training, on a checkpoint that lacks the statistics, and in an export."""
    own = ["MODEL.GDNORM.MEAN_OF", "path"]
    folder = tmp_path / "run"
    assert fastreid(*train(folder, "--seed", 3, overrides=own)).returncode == 0
    last = [line for line in metrics(folder) if "mAP" in line][-1]
    losses = [line["total_loss"] for line in metrics(folder) if "total_loss" in line]
    assert losses == [line["total_loss"] for line in metrics(trained) if "total_loss" in line], "it is for tests alone"
    evaluated = fastreid("eval", "--config-file", folder / "config.yaml")
    assert table(evaluated.stdout)[3] == round(last["mAP"], 2)

    # the same weights, whose branches the hook left with the same statistics, and none of the path's own
    late = fastreid("eval", "--config-file", trained / "config.yaml", "--output", tmp_path / "late", *own)
    assert "Taking the statistics of the mean path" in late.stdout and table(late.stdout) == table(evaluated.stdout)

    manifest = tmp_path / "export/manifest.json"
    done = fastreid("export", "--config-file", folder / "config.yaml", "--output", manifest.parent)
    assert done.returncode == 0, done.stderr
    said = json.loads(manifest.read_text())
    assert said["mean_of"] == "path" and said["files"]["model.pth"]["difference"] <= 1e-5

    without = ["MODEL.GDNORM.MEAN_OF", "path", "SOLVER.HOOKS", "()"]
    line = one_line(fastreid(*train(tmp_path / "without", overrides=without)))
    assert "MEAN_OF path takes its statistics by SOLVER.HOOKS ('DomainPreciseBN',): add it" in line


def test_full_batches_train_through_the_front_door_and_need_their_sampler(datasets, tmp_path):
    full = ["DATALOADER.DOMAIN_BATCH", "full"]
    done = fastreid(*train(tmp_path / "run", overrides=["SOLVER.IMS_PER_BATCH", 8, *full]))
    assert done.returncode == 0, done.stderr
    logged = {name for line in metrics(tmp_path / "run") for name in line}
    assert {"loss_triplet", "loss_triplet_path", "cls_accuracy_path", "largest_a_path"} <= logged
    line = one_line(fastreid(*train(tmp_path / "none", config="baseline", overrides=full)))
    assert "DOMAIN_BATCH full, a batch of every domain, is for DATALOADER.SAMPLER_TRAIN DomainBalanced" in line


def test_a_new_run_in_an_old_folder_keeps_the_old_metrics_aside(trained, tmp_path):
    (tmp_path / "metrics.json").write_text('{"iteration": 1}\n')
    assert fastreid(*train(tmp_path, "--seed", 3)).returncode == 0
    assert metrics(tmp_path) == metrics(trained)
    assert (tmp_path / "metrics.json.old").read_text() == '{"iteration": 1}\n'


def test_the_projects_own_configs_are_found_from_anywhere(datasets, tmp_path):
    words = train("run", "--eval-only", overrides=["MODEL.WEIGHTS", "nowhere.pth"])
    assert "checkpoint nowhere.pth is not found" in one_line(fastreid(*words, cwd=tmp_path))


def table(stdout):
    row = [line for line in stdout.splitlines() if line.startswith("| RenderedStation ")][-1]
    return [float(cell) for cell in row.split("|")[2:-1]]


def of_equal_distances():
    """Rank-1, Rank-5, Rank-10, mAP and mINP on RenderedStation, rounded, where no image is nearer than another."""
    (station,) = [domain for domain in RENDERED_DOMAINS if domain.__name__ == "RenderedStation"]
    data = station(root=os.environ["FASTREID_DATASETS"])
    (q_pids, q_cameras), (g_pids, g_cameras) = (
        np.array([item[1:] for item in part]).T for part in (data.query, data.gallery)
    )
    equal = np.ones((len(q_pids), len(g_pids)), np.float32)
    cmc, precisions, inverse_penalties = evaluate_rank(equal, q_pids, g_pids, q_cameras, g_cameras)
    numbers = [cmc[0], cmc[4], cmc[9], precisions.mean(), inverse_penalties.mean()]
    return [round(100 * float(number), 2) for number in numbers]


def test_eval_follows_the_path_it_is_told_and_leaves_the_run_alone(trained, tmp_path):
    def evaluate(*words):
        done = fastreid("eval", "--config-file", trained / "config.yaml", *words)
        assert done.returncode == 0, done.stderr
        return table(done.stdout)

    files = {path: path.read_bytes() for path in trained.iterdir() if path.suffix != ".0"}
    last = [line for line in metrics(trained) if "mAP" in line][-1]
    mean = evaluate()
    assert mean[:5] == [round(last[key], 2) for key in ("Rank-1", "Rank-5", "Rank-10", "mAP", "mINP")]
    assert evaluate("--path", "mean", "MODEL.WEIGHTS", trained / "model_final.pth") == mean
    # where source 1's neck makes zeros of everything, all images are as far from each other along its path
    checkpoint = torch.load(trained / "model_final.pth", weights_only=True)
    checkpoint["model"]["heads.bottleneck.0.branches.1.weight"].zero_()
    torch.save(checkpoint, tmp_path / "zeros.pth")
    assert evaluate("--path", "source:1", "MODEL.WEIGHTS", tmp_path / "zeros.pth")[:5] == of_equal_distances()
    assert {path: path.read_bytes() for path in files} == files

    flags = ["--config-file", trained / "config.yaml", "--eval-only", "MODEL.WEIGHTS", trained / "model_final.pth"]
    assert table(fastreid("train", *flags).stdout) == mean


@pytest.mark.parametrize("how", ["ours", "upstream"])
def test_upstreams_script_trains_and_evaluates(trained, tmp_path, how):
    """projects/GDNorm/train_net.py, and upstream's own, which is the same without our import."""
    script = REPOSITORY / "projects/GDNorm/train_net.py"
    if how == "upstream":
        text = script.read_text()
        script = tmp_path / "train_net.py"
        script.write_text("\n".join(line for line in text.splitlines() if "import fastreid_gdnorm" not in line))
    start = f"import fastreid_gdnorm, runpy; runpy.run_path({str(script)!r}, run_name='__main__')"
    arguments = train(tmp_path / "run", overrides=["SEED", "3"])[1:]
    words = command()
    words["args"] = [words["args"][0], *(["-c", start] if how == "upstream" else [str(script)]), *arguments]
    done = subprocess.run(**words, capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert metrics(tmp_path / "run") == metrics(trained)


STOCK = "MODEL.META_ARCHITECTURE Baseline MODEL.BACKBONE.NAME build_resnet_backbone SOLVER.HOOKS ()"

MISTAKES = {
    "stock sampler": (
        ["DATALOADER.SAMPLER_TRAIN", "NaiveIdentitySampler"],
        "NaiveIdentitySampler may leave a source one identity .*set DATALOADER.SAMPLER_TRAIN DomainBalanced",
    ),
    "unknown key": (["MODEL.GDNORM.LAMDBA", "1"], "Non-existent key: MODEL.GDNORM.LAMDBA"),
    "wrong type": (["MODEL.GDNORM.NUM_PATHS", "'two'"], "Type mismatch .*NUM_PATHS"),
    "unknown hook": (["SOLVER.HOOKS", "('DomainPrecisBN',)"], "SOLVER.HOOKS: .* did you mean DomainPreciseBN"),
    "unknown sampler": (
        ["DATALOADER.SAMPLER_TRAIN", "DomainBalanced"],
        "DATALOADER.SAMPLER_TRAIN: .* did you mean DomainBalancedIdentitySampler",
    ),
    "too many GPUs": (["--num-gpus", "64"], "--num-gpus is 64, torch finds"),
    "several machines": (["--num-machines", "2"], "--num-machines is 2, and --dist-url tcp://127.0.0.1:.* is for one"),
    "unknown data set": (
        ["DATASETS.NAMES", "('RenderedStret','RenderedMall')"],
        "DATASETS.NAMES: there is no 'RenderedStret'; did you mean RenderedStreet?",
    ),
    "missing data set": (["DATASETS.NAMES", "('VeRi','RenderedMall')"], "data set VeRi: .* is not found"),
    "impossible batch": (["DATALOADER.NUM_INSTANCE", "6"], "12 / 6 .* one of the 3 sources 0 identities in a batch"),
    "impossible stock batch": (
        f"{STOCK} DATALOADER.SAMPLER_TRAIN NaiveIdentitySampler SOLVER.IMS_PER_BATCH 13".split(),
        "IMS_PER_BATCH 13 must be a multiple of DATALOADER.NUM_INSTANCE 2",
    ),
    "amp": (["SOLVER.AMP.ENABLED", "True", "MODEL.DEVICE", "cpu"], "set SOLVER.AMP.ENABLED False"),
    "test path": (["MODEL.GDNORM.TEST_PATH", "source:9"], "TEST_PATH is mean, .*; got 'source:9'"),
    "missing checkpoint": (["MODEL.WEIGHTS", "nowhere.pth"], "checkpoint nowhere.pth is not found"),
    "missing pretrained file": (
        ["MODEL.BACKBONE.PRETRAIN", "True", "MODEL.BACKBONE.PRETRAIN_PATH", "nowhere.pth"],
        "pretrained file 'nowhere.pth' is not found: name a file with MODEL.BACKBONE.PRETRAIN_PATH",
    ),
}


def one_line(done):
    """What a mistake is answered with: exit 2 and, of the command's own, one line on stderr."""
    assert done.returncode == 2, done.stdout + done.stderr
    own = [line for line in done.stderr.splitlines() if line.startswith("fastreid ")]
    assert len(own) == 1 and done.stderr.splitlines()[-1] == own[0]
    assert "Traceback" not in done.stderr + done.stdout
    return own[0]


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_get_one_line_and_overwrite_nothing(trained, mistake):
    overrides, said = MISTAKES[mistake]
    kept = {path: path.read_bytes() for path in trained.iterdir() if path.suffix in (".pth", ".yaml", ".json")}
    flags = overrides if overrides[0].startswith("--") else []
    line = one_line(fastreid(*train(trained, *flags, overrides=[] if flags else overrides)))
    assert re.search(f"^fastreid train: .*{said}", line), line
    assert {path: path.read_bytes() for path in kept} == kept


def test_a_checkpoint_of_another_k_or_model_and_a_damaged_one_get_one_line_and_are_kept(trained, tmp_path):
    final = trained / "model_final.pth"
    two = ["DATASETS.NAMES", "('RenderedMall','RenderedCampus')", "MODEL.WEIGHTS", str(final)]
    line = one_line(fastreid(*train(tmp_path / "two", overrides=two)))
    assert "has 3 branches" in line and "this model has 2" in line

    stock = ["MODEL.META_ARCHITECTURE", "Baseline", "MODEL.BACKBONE.NAME", "build_resnet_backbone"]
    line = one_line(fastreid("eval", "--config-file", trained / "config.yaml", *stock))
    assert re.search("model_final.pth does not fit this model: it lacks .* of the model's tensors, first backb", line)

    (tmp_path / "model_0000.pth").write_bytes(final.read_bytes()[:-1000])
    (tmp_path / "last_checkpoint").write_text("model_0000.pth")
    line = one_line(fastreid(*train(tmp_path, "--resume")))
    assert re.search(r"checkpoint .*model_0000.pth is damaged", line)
    assert sorted(path.name for path in tmp_path.glob("*.pth")) == ["model_0000.pth"]


@pytest.mark.parametrize("workers", ["0", "2"])
def test_an_unreadable_image_gets_one_line_that_names_it(datasets, tmp_path, workers):
    root = tmp_path / "data"
    shutil.copytree(datasets, root)
    broken = sorted((root / "RenderedMall/bounding_box_train").iterdir())[0]
    broken.write_bytes(b"")
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.yaml").write_text("of an earlier run")
    words = train(run, overrides=["DATALOADER.NUM_WORKERS", workers])
    line = one_line(fastreid(*words, env={"FASTREID_DATASETS": str(root)}))
    assert f"cannot read image {broken}" in line
    assert (run / "config.yaml").read_text() == "of an earlier run"


@pytest.mark.parametrize("text, said", [("_BASE_: nowhere.yml", "No such file.*nowhere.yml"), ("a: [", "expected")])
def test_a_bad_config_file_is_named_with_the_reason(tmp_path, text, said):
    (tmp_path / "bad.yml").write_text(text)
    line = one_line(fastreid("train", "--config-file", tmp_path / "bad.yml"))
    assert re.search(f"bad.yml: .*{said}", line), line


def test_stock_configs_run_by_the_command_too(datasets, tmp_path):
    done = fastreid(*train(tmp_path, config="baseline", overrides=["SOLVER.MAX_EPOCH", "1"]))
    assert done.returncode == 0, done.stderr
    assert os.path.exists(tmp_path / "model_final.pth")
    assert "--path is for GDNorm models" in one_line(
        fastreid("eval", "--config-file", tmp_path / "config.yaml", "--path", "mean")
    )
