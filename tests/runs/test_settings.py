"""A checkpoint knows its sources and settings: others on resume, or beside its branches, are said or refused."""

import re
import shutil

import pytest
import torch

from ..conftest import training
from .toy import metrics, one_line

REORDERED = ["DATASETS.NAMES", "('RenderedMall','RenderedStreet','RenderedCampus')"]
OTHER = ["DATASETS.NAMES", "('RenderedStreet','RenderedMall','RenderedNight')"]  # with as many identities


@pytest.fixture
def begun(toy_run, tmp_path):
    """A folder with the toy run's last checkpoint."""
    for name in ("model_final.pth", "last_checkpoint", "metrics.json"):
        shutil.copy(toy_run / name, tmp_path)
    return tmp_path


@pytest.mark.parametrize("sources", [REORDERED, OTHER], ids=["another order", "another source"])
def test_branches_keep_their_sources(toy_run, begun, sources, fastreid_here):
    named = [re.findall(r"Rendered\w+", text) for text in (sources[1], (toy_run / "config.yaml").read_text())]
    of_run = [f"'{name}'" for name in named[1][:3]]
    line = one_line(fastreid_here(*training(begun, "--resume", overrides=sources)))
    assert f"the run started with DATASETS.NAMES [{', '.join(of_run)}], but this config has ['{named[0][0]}'" in line

    for command in ["eval"], ["eval", "--path", "source:0"], ["paths", "--output", begun / "paths"]:
        line = one_line(fastreid_here(*command, "--config-file", toy_run / "config.yaml", *sources))
        assert f"has branches for [{', '.join(of_run)}], in this order, but DATASETS.NAMES is ['{named[0][0]}'" in line


@pytest.mark.parametrize(
    "config, others",
    [("baseline", []), ("gdnorm", ["DATASETS.COMBINEALL", "True"])],
    ids=["no branches", "more identities"],
)
def test_a_run_of_other_parameters_is_refused(begun, config, others, fastreid_here):
    line = one_line(fastreid_here(*training(begun, "--resume", config=config, overrides=others)))
    assert "--resume: the run was begun with other parameters" in line


def test_a_checkpoint_of_an_earlier_version_loads(toy_run, begun, fastreid_here):
    checkpoint = torch.load(begun / "model_final.pth", weights_only=True)
    for name in ("settings", "untested"):
        del checkpoint[name]
    for key in ("latest", "written"):
        del checkpoint["metrics_history"][key]
    torch.save(checkpoint, begun / "model_final.pth")
    done = fastreid_here(*training(begun, "--resume"))
    assert done.returncode == 0 and "Training had already finished" in done.stdout, done.stderr
    words = ["--config-file", toy_run / "config.yaml", "MODEL.WEIGHTS", begun / "model_final.pth", *REORDERED]
    assert fastreid_here("eval", "--output", begun / "eval", *words).returncode == 0


def test_other_values_on_resume_are_said(begun, fastreid_here):
    others = ["SOLVER.BASE_LR", "0.5", "MODEL.GDNORM.LAMBDA", "1.0", "SOLVER.MAX_EPOCH", "3"]
    done = fastreid_here(*training(begun, "--resume", overrides=others))
    assert done.returncode == 0, done.stderr
    (kept,) = re.findall(r"Resuming with the checkpoint's (.*); for other values", done.stdout)
    (followed,) = re.findall(r"Resuming with (.*): from here on, the results differ", done.stdout)
    assert re.fullmatch(r"SOLVER.BASE_LR [\d.e-]+, not 0.5", kept) and followed == "MODEL.GDNORM.LAMBDA 1.0, before 0.6"
    assert max(line.get("lr", 0) for line in metrics(begun)) < 0.1


@pytest.mark.parametrize("key", ["SOLVER.HEADS_LR_FACTOR", "SOLVER.BIAS_LR_FACTOR", "SOLVER.WEIGHT_DECAY_NORM"])
def test_the_groups_of_the_optimizer_are_those_of_its_state(begun, key, fastreid_here):
    line = one_line(fastreid_here(*training(begun, "--resume", overrides=[key, "5.0"])))
    assert f"the run started with {key} " in line and "this config has 5.0" in line
