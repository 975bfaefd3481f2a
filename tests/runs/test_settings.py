"""A checkpoint records its sources and settings; changes are reported or refused."""

import re
import shutil

import pytest
import torch

from ..conftest import training
from .toy import metrics, one_line

REORDERED = ["DATASETS.NAMES", "('RenderedMall','RenderedStreet','RenderedCampus')"]
OTHER = ["DATASETS.NAMES", "('RenderedStreet','RenderedMall','RenderedNight')"]  # with equally many identities


@pytest.fixture
def started(toy_run, tmp_path):
    """A folder with the toy run's last checkpoint."""
    for name in ("model_final.pth", "last_checkpoint", "metrics.json"):
        shutil.copy(toy_run / name, tmp_path)
    return tmp_path


@pytest.mark.parametrize("sources", [REORDERED, OTHER], ids=["another order", "another source"])
def test_branches_keep_their_sources(toy_run, started, sources, fastreid_here):
    named = [re.findall(r"Rendered\w+", text) for text in (sources[1], (toy_run / "config.yaml").read_text())]
    of_run = [f"'{name}'" for name in named[1][:3]]
    line = one_line(fastreid_here(*training(started, "--resume", overrides=sources)))
    assert f"the run started with DATASETS.NAMES [{', '.join(of_run)}], but this config has ['{named[0][0]}'" in line

    for command in ["eval"], ["eval", "--path", "source:0"], ["paths", "--output", started / "paths"]:
        line = one_line(fastreid_here(*command, "--config-file", toy_run / "config.yaml", *sources))
        assert f"has branches for [{', '.join(of_run)}], in this order, but DATASETS.NAMES is ['{named[0][0]}'" in line


@pytest.mark.parametrize(
    "config, others",
    [("baseline", []), ("gdnorm", ["DATASETS.COMBINEALL", "True"])],
    ids=["no branches", "more identities"],
)
def test_a_run_with_other_parameters_is_refused(started, config, others, fastreid_here):
    line = one_line(fastreid_here(*training(started, "--resume", config=config, overrides=others)))
    assert "--resume: the run started with other parameters" in line


def test_a_checkpoint_from_an_earlier_version_loads(toy_run, started, fastreid_here):
    checkpoint = torch.load(started / "model_final.pth", weights_only=True)
    for name in ("settings", "untested"):
        del checkpoint[name]
    for key in ("latest", "written"):
        del checkpoint["metrics_history"][key]
    torch.save(checkpoint, started / "model_final.pth")
    done = fastreid_here(*training(started, "--resume"))
    assert done.returncode == 0 and "Training had already finished" in done.stdout, done.stderr
    words = ["--config-file", toy_run / "config.yaml", "MODEL.WEIGHTS", started / "model_final.pth", *REORDERED]
    assert fastreid_here("eval", "--output", started / "eval", *words).returncode == 0


def test_changed_settings_are_reported_on_resume(started, fastreid_here):
    others = ["SOLVER.BASE_LR", "0.5", "MODEL.GDNORM.LAMBDA", "1.0", "SOLVER.MAX_EPOCH", "3"]
    done = fastreid_here(*training(started, "--resume", overrides=others))
    assert done.returncode == 0, done.stderr
    (kept,) = re.findall(r"Resuming with the checkpoint's (.*); for other values", done.stdout)
    (followed,) = re.findall(r"Resuming with (.*): from here on, the results differ", done.stdout)
    assert re.fullmatch(r"SOLVER.BASE_LR [\d.e-]+, not 0.5", kept) and followed == "MODEL.GDNORM.LAMBDA 1.0, before 0.6"
    assert max(line.get("lr", 0) for line in metrics(started)) < 0.1


@pytest.mark.parametrize("key", ["SOLVER.HEADS_LR_FACTOR", "SOLVER.BIAS_LR_FACTOR", "SOLVER.WEIGHT_DECAY_NORM"])
def test_settings_that_form_the_optimizers_groups_cannot_change_on_resume(started, key, fastreid_here):
    line = one_line(fastreid_here(*training(started, "--resume", overrides=[key, "5.0"])))
    assert f"the run started with {key} " in line and "this config has 5.0" in line
