"""GDNormDistiller: its teachers, its losses, and a training by the command."""

import json
import shutil

import pytest
import torch
from fastreid.utils.events import EventStorage

from fastreid_gdnorm.errors import UserError
from fastreid_gdnorm.layers import MeanPath, gdnorm_layers
from fastreid_gdnorm.runs.run_config import load_config

from ..conftest import DEMO, TINY, fastreid, training


@pytest.fixture(scope="module")
def teachers(toy_run, exported, tmp_path_factory):
    """Overrides that name one teacher with GDNorm and a stock one."""
    folder = tmp_path_factory.mktemp("teacher")
    classes = ["MODEL.HEADS.NUM_CLASSES", "18"]
    (folder / "config.yaml").write_text(load_config(f"{DEMO}/baseline.yml", [*TINY, *classes]).dump())
    shutil.copy(exported / "model.pth", folder / "model_final.pth")
    files = [[str(run / name) for run in (toy_run, folder)] for name in ("config.yaml", "model_final.pth")]
    return ["KD.MODEL_CONFIG", str(files[0]), "KD.MODEL_WEIGHTS", str(files[1])]


def test_teachers_have_their_trained_weights_and_stay_out_of_the_students_state(model, toy_run, teachers):
    student = model("MODEL.META_ARCHITECTURE", "GDNormDistiller", *teachers)
    with_branches, stock = student.model_ts
    saved = torch.load(toy_run / "model_final.pth", weights_only=True)["model"]
    assert all(torch.equal(saved[key], value) for key, value in with_branches.state_dict().items() if key in saved)
    assert all(isinstance(layer.path, MeanPath) for layer in gdnorm_layers(with_branches).values())
    assert not gdnorm_layers(stock) and not any(p.requires_grad for t in student.model_ts for p in t.parameters())
    assert not any("model_ts" in key for key in student.state_dict())
    assert len(gdnorm_layers(student)) == len(gdnorm_layers(with_branches))


def test_every_path_learns_from_the_teachers(model, batch, teachers):
    classes = ["MODEL.HEADS.NUM_CLASSES", "18"]
    plain = model(*classes).float().train()
    late = ["MODEL.GDNORM.EARLY_GRADIENTS", "False"]  # the test takes the gradient of one loss alone
    student = model("MODEL.META_ARCHITECTURE", "GDNormDistiller", *teachers, *classes, *late).float().train()
    student.load_state_dict(plain.state_dict())
    batch["images"] = batch["images"].float()
    with EventStorage():
        own, taught = plain(batch), student(batch)
    assert set(taught) - set(own) == {"loss_jsdiv", "loss_jsdiv_path"}
    assert torch.allclose(own["loss_cls"], taught["loss_cls"]), "the domain path is that of the plain model"
    assert taught["loss_jsdiv"] > 0 and taught["loss_jsdiv_path"] > 0
    taught["loss_jsdiv_path"].backward()
    assert all(p.grad is not None and p.grad.any() for k, p in student.named_parameters() if "bn1.branches" in k)


@pytest.mark.parametrize(
    "overrides, said",
    [
        (["KD.EMA.ENABLED", "True"], "KD.EMA.ENABLED makes a teacher without branches"),
        (["KD.MODEL_WEIGHTS", "[]"], "KD.MODEL_CONFIG names 2 teachers, but KD.MODEL_WEIGHTS 0"),
        (["KD.MODEL_CONFIG", "['x.yaml','y.yaml']"], "KD: teacher x.yaml with .*"),
    ],
)
def test_invalid_teachers_are_refused(model, teachers, overrides, said):
    with pytest.raises(UserError, match=said):
        model("MODEL.META_ARCHITECTURE", "GDNormDistiller", *teachers, *overrides)


@pytest.mark.long
def test_a_student_trains_and_can_be_used_without_its_teachers(teachers, tmp_path, fastreid_here):
    done = fastreid(*training(tmp_path / "run", config="distill", overrides=teachers))
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.json").read_text().splitlines()]
    assert any("loss_jsdiv_path" in line for line in lines)
    config = tmp_path / "run" / "config.yaml"
    gone = ["KD.MODEL_CONFIG", "['gone.yaml']", "KD.MODEL_WEIGHTS", "['gone.pth']", "OUTPUT_DIR", tmp_path / "run"]
    assert fastreid_here("eval", "--config-file", config, *gone).returncode == 0
    done = fastreid_here("export", "--config-file", config, "--output", tmp_path / "export", *gone)
    assert done.returncode == 0, done.stderr
