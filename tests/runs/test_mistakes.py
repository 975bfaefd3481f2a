"""Mistakes in the arguments of a training or a test: each gets one line, and nothing is overwritten."""

import re
import shutil

import pytest
from fastreid.engine import DefaultTrainer

from fastreid_gdnorm.training.finite import Finite

from ..conftest import DEMO, ONE_TARGET, TINY, fastreid, training
from .toy import one_line

STOCK = "MODEL.META_ARCHITECTURE Baseline MODEL.BACKBONE.NAME build_mobilenetv2_backbone SOLVER.HOOKS ()"

MISTAKES = {
    "stock sampler": (
        ["DATALOADER.SAMPLER_TRAIN", "NaiveIdentitySampler"],
        "NaiveIdentitySampler may give a source a single identity .*set DATALOADER.SAMPLER_TRAIN DomainBalanced",
    ),
    "unknown key": (["MODEL.GDNORM.LAMDBA", "1"], "Non-existent key: MODEL.GDNORM.LAMDBA"),
    "no value": (["SEED"], "SEED has no value after it"),
    "one word": (["SEED=3"], "SEED=3 has an equals sign: write SEED 3"),
    "lower case": (["model.device", "cpu"], "model.device; did you mean MODEL.DEVICE"),
    "late flag": (["SEED", "3", "--resume"], "--resume is a flag: flags must come before the first KEY"),
    "value of a flag": (["--resume", "logs/mine"], "--resume takes no value: .* OUTPUT_DIR logs/mine"),
    "two configs": (["--config-file", "configs/Base-GDNorm.yml"], "--config-file is given more than once"),
    "workers": (["DATALOADER.NUM_WORKERS", "-1"], "DATALOADER.NUM_WORKERS must be 0 or more; got -1"),
    "negative seed": (["--seed", "-5"], "--seed: must be a whole number, -1 or more; got '-5'"),
    "fewer than no GPUs": (["--num-gpus", "-1"], "--num-gpus must be 0 or more"),
    "rank without machine": (["--machine-rank", "1"], "--machine-rank counts the machines from 0; got 1, 1 and 1"),
    "wrong type": (["MODEL.GDNORM.NUM_PATHS", "'two'"], "Type mismatch .*NUM_PATHS"),
    "unknown hook": (["SOLVER.HOOKS", "('DomainPrecisBN',)"], "SOLVER.HOOKS: .* did you mean DomainPreciseBN"),
    "unknown sampler": (
        ["DATALOADER.SAMPLER_TRAIN", "DomainBalanced"],
        "DATALOADER.SAMPLER_TRAIN: .* did you mean DomainBalancedIdentitySampler",
    ),
    "too many GPUs": (["--num-gpus", "999"], "--num-gpus is 999, but this machine has .*: use at most"),
    "several machines": (["--num-machines", "2"], "--num-machines is 2, but .* works on one machine only"),
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
    "no folder": (["OUTPUT_DIR", ""], "OUTPUT_DIR is '': name a folder"),
    "folder not in UTF-8": (["OUTPUT_DIR", "caf\udce9"], "OUTPUT_DIR is .*caf.udce9': name a folder, in UTF-8"),
    "amp": (["SOLVER.AMP.ENABLED", "True", "MODEL.DEVICE", "cpu"], "set SOLVER.AMP.ENABLED False"),
    "test path": (["MODEL.GDNORM.TEST_PATH", "source:9"], "TEST_PATH must be mean, .*; got 'source:9'"),
    "missing checkpoint": (["MODEL.WEIGHTS", "nowhere.pth"], "checkpoint nowhere.pth does not exist"),
    "missing pretrained file": (
        ["MODEL.BACKBONE.PRETRAIN", "True", "MODEL.BACKBONE.PRETRAIN_PATH", "nowhere.pth"],
        "pretrained file 'nowhere.pth' does not exist: name a file with MODEL.BACKBONE.PRETRAIN_PATH",
    ),
}


VALUES = {
    "MODEL.LOSSES.NAME ('CrossEntropyLoss','TripletLos')": "no 'TripletLos'; did you mean TripletLoss",
    "MODEL.LOSSES.NAME ()": "MODEL.LOSSES.NAME is empty",
    "MODEL.BACKBONE.DEPTH 0.4x": "MODEL.BACKBONE.DEPTH: there is no '0.4x'; did you mean",
    "MODEL.GDNORM.BACKBONE build_mobilenetv3_backbone": "DEPTH: there is no '0.5x'; choose from Large, Small",
    "MODEL.BACKBONE.NORM bn": "MODEL.BACKBONE.NORM: .* choose from BN, FrozenBN",
    "MODEL.HEADS.NORM SyncBN": "MODEL.HEADS.NORM: .* did you mean syncBN",
    "MODEL.HEADS.POOL_LAYER GlobalAveragePool": "POOL_LAYER: .* did you mean GlobalAvgPool",
    "MODEL.HEADS.CLS_LAYER ArcFace": "CLS_LAYER: there is no 'ArcFace'",
    "MODEL.HEADS.NECK_FEAT middle": "NECK_FEAT: .* choose from after, before",
    "MODEL.DEVICE gpu": "MODEL.DEVICE must be cpu, cuda or cuda:N; got 'gpu'",
    "MODEL.PIXEL_STD [0.0,1.0,1.0]": "MODEL.PIXEL_STD .* STD above 0",
    "SOLVER.OPT adam": "SOLVER.OPT: there is no 'adam'; did you mean Adam",
    "SOLVER.OPT LBFGS": "SOLVER.OPT: there is no 'LBFGS'",
    "SOLVER.SCHED Cosine": "SOLVER.SCHED: .* did you mean CosineAnnealingLR",
    "SOLVER.WARMUP_METHOD line": "did you mean linear",
    "SOLVER.MAX_EPOCH 0": "SOLVER.MAX_EPOCH must be 1 or more; got 0",
    "SOLVER.CHECKPOINT_PERIOD 0": "SOLVER.CHECKPOINT_PERIOD must be 1 or more; got 0",
    "SOLVER.BASE_LR 0.0": "SOLVER.BASE_LR must be above 0; got 0.0",
    "SOLVER.BASE_LR nan": "SOLVER.BASE_LR",
    "SOLVER.IMS_PER_BATCH 0": "SOLVER.IMS_PER_BATCH must be 1 or more; got 0",
    "SOLVER.IMS_PER_BATCH 600": "SOLVER.IMS_PER_BATCH",
    "SOLVER.SCHED CosineAnnealingLR SOLVER.WARMUP_ITERS 12": "SOLVER.WARMUP_ITERS 12 takes all",
    "DATALOADER.NUM_INSTANCE 0": "DATALOADER.NUM_INSTANCE must be .*; got 0",
    "DATALOADER.SAMPLER_TRAIN InferenceSampler": "DATALOADER.SAMPLER_TRAIN: there is no 'InferenceSampler'",
    f"{STOCK} DATALOADER.SAMPLER_TRAIN SetReWeightSampler": "the sum of DATALOADER.SET_WEIGHT",
    "INPUT.SIZE_TRAIN [32,0]": "INPUT.SIZE_TRAIN must be .* in whole pixels; got .32, 0.",
    "INPUT.FLIP.PROB 50.0": "INPUT.FLIP.PROB must be from 0 to 1; got 50.0",
    "TEST.EVAL_PERIOD 0": "TEST.EVAL_PERIOD must be 1 or more; got 0",
    "TEST.METRIC cosin": "TEST.METRIC: .* did you mean cosine",
    "TEST.METRIC jaccard": "TEST.METRIC must be cosine or euclidean; .* TEST.RERANK.ENABLED True",
    "TEST.RERANK.K1 0": "TEST.RERANK.K1 must be .*; got 0",
    "INPUT.SIZE_TEST [0,16]": "INPUT.SIZE_TEST must be .* in whole pixels",
    "DATASETS.NAMES ('RenderedMall','RenderedMall')": "DATASETS.NAMES lists RenderedMall more than once",
    "DATASETS.TESTS ()": "DATASETS.TESTS is empty",
    f"{STOCK} DATALOADER.SAMPLER_TRAIN TrainingSampler SOLVER.IMS_PER_BATCH 600": "fewer images to train on than",
}
MISTAKES.update((values, (values.split(), said)) for values, said in VALUES.items())


@pytest.fixture
def held(toy_run):
    """The folder of a finished run; afterwards its files must be unchanged, except for the log."""

    def contents():
        small = {path: path.read_bytes() for path in toy_run.iterdir() if path.suffix in (".yaml", ".json", ".csv")}
        stats = {path: path.stat() for path in toy_run.glob("*.pth")}
        return small, {path: (stat.st_ino, stat.st_mtime_ns, stat.st_size) for path, stat in stats.items()}

    before = contents()
    yield toy_run
    assert contents() == before


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_gets_one_line_and_overwrites_nothing(held, mistake, fastreid_here):
    overrides, said = MISTAKES[mistake]
    flags = overrides if overrides[0].startswith("--") else []
    line = one_line(fastreid_here(*training(held, *flags, overrides=[] if flags else overrides)))
    assert re.search(f"^fastreid train: .*{said}", line), line


@pytest.mark.parametrize("command", ["eval", "train --eval-only"])
def test_a_missing_checkpoint_is_reported_before_the_model_is_printed(datasets, tmp_path, command, fastreid_here):
    words = ["--config-file", f"{DEMO}/gdnorm.yml", *TINY, *ONE_TARGET, "OUTPUT_DIR", tmp_path]
    done = fastreid_here(*command.split(), *words, "MODEL.WEIGHTS", "nowhere.pth")
    assert one_line(done).endswith(": checkpoint nowhere.pth does not exist: correct MODEL.WEIGHTS")
    assert "Model:" not in done.stdout


def test_a_mistake_gets_one_line_in_its_own_process_too(held):
    overrides, said = MISTAKES["impossible batch"]
    assert re.search(said, one_line(fastreid(*training(held, overrides=overrides))))


def test_a_checkpoint_that_does_not_fit_or_is_damaged_is_reported_and_kept(held, tmp_path, fastreid_here):
    final = held / "model_final.pth"
    two = ["DATASETS.NAMES", "('RenderedMall','RenderedCampus')", "MODEL.WEIGHTS", final]
    line = one_line(fastreid_here(*training(tmp_path / "two", overrides=two)))
    assert "has 3 branches" in line and "this model has 2" in line

    stock = ["MODEL.META_ARCHITECTURE", "Baseline", "MODEL.BACKBONE.NAME", "build_mobilenetv2_backbone"]
    line = one_line(fastreid_here("eval", "--config-file", held / "config.yaml", *stock))
    assert re.search("does not fit this model: it lacks .* of the model's tensors; the first is backb", line)

    (tmp_path / "model_0000.pth").write_bytes(final.read_bytes()[:-1000])
    (tmp_path / "last_checkpoint").write_text("model_0000.pth")
    line = one_line(fastreid_here(*training(tmp_path, "--resume")))
    assert re.search(r"checkpoint .*model_0000.pth is damaged", line)
    assert sorted(path.name for path in tmp_path.glob("*.pth")) == ["model_0000.pth"]


@pytest.mark.parametrize("share", [0, 0.001, 0.5, 0.999])
def test_every_command_reports_a_truncated_checkpoint_in_one_line(datasets, toy_run, tmp_path, share, fastreid_here):
    whole = (toy_run / "model_final.pth").read_bytes()
    cut = tmp_path / "model_final.pth"
    cut.write_bytes(whole[: int(share * len(whole))])
    (tmp_path / "last_checkpoint").write_text("model_final.pth")
    shutil.copy(toy_run / "config.yaml", tmp_path)
    config, overrides = ["--config-file", tmp_path / "config.yaml"], ["OUTPUT_DIR", tmp_path]
    image, new, other = min((datasets / "RenderedStation/query").glob("*.jpg")), tmp_path / "new", tmp_path / "other"
    commands = [
        training(tmp_path, "--resume"),
        training(new, overrides=["MODEL.WEIGHTS", cut]),
        training(new, overrides=["MODEL.BACKBONE.PRETRAIN", "True", "MODEL.BACKBONE.PRETRAIN_PATH", cut]),
        ["eval", *config, *overrides],
        ["paths", *config, "--output", new, *overrides],
        ["export", *config, "--output", other, *overrides],
        ["index", "--model", tmp_path, image, "--gallery", new],
        ["train", "--add-source", "RenderedNight", "--from", tmp_path, "OUTPUT_DIR", new],
    ]
    for command in commands:
        line = one_line(fastreid_here(*command))
        assert f"{cut} is damaged" in line, line


def test_a_diverged_training_stops_and_names_its_last_good_checkpoint(datasets, tmp_path, fastreid_here):
    grows = "SOLVER.WARMUP_ITERS 0 SOLVER.STEPS [1] SOLVER.GAMMA 1e30".split()
    done = fastreid_here(*training(tmp_path, overrides=grows))
    assert done.returncode == 1 and "Traceback" not in done.stdout + done.stderr
    line = done.stderr.splitlines()[-1]
    assert re.search(r"^fastreid train: training diverged at iteration \d+: .*infinite or NaN", line), line
    assert f"the last good checkpoint is {tmp_path}/model_0000.pth" in line
    assert (tmp_path / "last_checkpoint").read_text() == "model_0000.pth"


def test_a_model_with_nan_is_not_saved(tiny):
    trainer = DefaultTrainer(tiny("gdnorm"))
    (finite,) = [hook for hook in trainer._hooks if isinstance(hook, Finite)]
    finite.after_epoch()
    trainer.model.backbone.features[0][1].branches[1].running_var[0] = float("nan")
    with pytest.raises(FloatingPointError, match="1 of .* tensors contain NaN; the first is .*branches.1.running_var"):
        finite.after_epoch()


@pytest.mark.parametrize("workers", ["0", "2"])
def test_an_unreadable_image_is_named(datasets, tmp_path, workers, fastreid_here, monkeypatch):
    root = tmp_path / "data"
    shutil.copytree(datasets, root)
    broken = sorted((root / "RenderedMall/bounding_box_train").iterdir())[0]
    broken.write_bytes(b"")
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.yaml").write_text("of an earlier run")
    monkeypatch.setenv("FASTREID_DATASETS", str(root))
    line = one_line(fastreid_here(*training(run, overrides=["DATALOADER.NUM_WORKERS", workers])))
    assert f"train: cannot read image {broken}" in line
    assert (run / "config.yaml").read_text() == "of an earlier run"


@pytest.mark.parametrize(
    "text, said",
    [
        ("_BASE_: nowhere.yml", "No such file.* its _BASE_ .*nowhere.yml"),
        ("_BASE_: bad.yml", "its _BASE_ leads back to itself"),
        ("a: [", "expected"),
        ("", "is not a YAML file of keys"),
    ],
)
def test_a_bad_config_file_is_named_with_the_reason(tmp_path, text, said, fastreid_here):
    (tmp_path / "bad.yml").write_text(text)
    line = one_line(fastreid_here("train", "--config-file", tmp_path / "bad.yml"))
    assert re.search(f"bad.yml: .*{said}", line), line


def test_a_hook_or_path_or_sampler_that_is_missing_is_named(toy_run, tmp_path, fastreid_here):
    without = ["MODEL.GDNORM.MEAN_OF", "path", "SOLVER.HOOKS", "()"]
    line = one_line(fastreid_here(*training(tmp_path / "without", overrides=without)))
    assert "MEAN_OF path needs the statistics that DomainPreciseBN takes: add it to SOLVER.HOOKS" in line
    full = ["DATALOADER.DOMAIN_BATCH", "full"]
    line = one_line(fastreid_here(*training(tmp_path / "full", config="baseline", overrides=full)))
    assert "DOMAIN_BATCH full, a batch of every domain, needs DATALOADER.SAMPLER_TRAIN DomainBalanced" in line
    stock = ["MODEL.META_ARCHITECTURE", "MoCo"]
    line = one_line(fastreid_here("eval", "--config-file", toy_run / "config.yaml", "--path", "mean", *stock))
    assert "MODEL.META_ARCHITECTURE MoCo has no branches and cannot get any; use Baseline, " in line
    posterior = ["MODEL.GDNORM.TEST_PATH", "posterior:nowhere"]
    line = one_line(fastreid_here(*training(tmp_path / "posterior", overrides=posterior)))
    assert "posterior:nowhere is a path through a trained checkpoint: train with mean" in line
