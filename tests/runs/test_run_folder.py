"""A config.yaml in a run's folder refers to that run, from any working directory and after a move."""

from pathlib import Path

import pytest

from fastreid_gdnorm.errors import UserError
from fastreid_gdnorm.runs import files
from fastreid_gdnorm.runs.results import read_test_results
from fastreid_gdnorm.runs.run_config import load_config
from fastreid_gdnorm.runs.run_folder import load_run_config, load_trained_config

from ..conftest import DEMO
from .toy import table


@pytest.fixture
def moved(toy_run, tmp_path, monkeypatch):
    """A run that was trained in the relative folder logs/run, then moved; the working directory differs too.

    It is a function that writes the run's config.yaml, with ``weights`` and ``path``, and returns its path.
    """
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    folder = Path("../moved")
    folder.mkdir()
    for file in toy_run.iterdir():
        if file.is_file():
            (folder / file.name).symlink_to(file)
    cfg = load_config(folder / files.CONFIG)
    cfg.OUTPUT_DIR = "logs/run"
    (folder / files.CONFIG).unlink()

    def write(**of_model):
        cfg.MODEL.WEIGHTS = of_model.get("weights", "")
        cfg.MODEL.GDNORM.TEST_PATH = of_model.get("path", "mean")
        (folder / files.CONFIG).write_text(cfg.dump())
        return folder / files.CONFIG

    return write


@pytest.mark.parametrize(
    "weights, meant",
    [
        ("", "model_final.pth"),
        ("logs/run/model_0000.pth", "model_0000.pth"),  # this checkpoint was tested
        ("elsewhere/pretrained.pth", "model_final.pth"),  # training started from this one
        ("logs/run/start.pth", "model_final.pth"),  # training with one more source started from this one
    ],
)
def test_the_files_of_a_moved_run_are_found(moved, weights, meant):
    config = moved(weights=weights, path="posterior:logs/run/site")
    for cfg in (load_trained_config(config), load_run_config(config.parent)):
        assert cfg.OUTPUT_DIR == "../moved" and str(cfg.MODEL.WEIGHTS) == f"../moved/{meant}"
        assert cfg.MODEL.GDNORM.TEST_PATH == "posterior:../moved/site"


def test_a_runs_folder_means_its_own_checkpoint(moved, tmp_path):
    started_from = tmp_path / "start.pth"
    started_from.touch()
    folder = moved(weights=str(started_from)).parent
    for overrides in ([], ["OUTPUT_DIR", str(tmp_path / "out")], ["OUTPUT_DIR", str(folder)]):
        cfg = load_trained_config(folder, overrides)
        assert Path(cfg.MODEL.WEIGHTS) == folder / files.FINAL
        assert (overrides[1] if overrides else str(folder)) == cfg.OUTPUT_DIR
    for file in folder.iterdir():
        if file.name == files.LAST_CHECKPOINT or (file.suffix == ".pth" and file.name != files.FINAL):
            file.unlink()
    for cfg in (load_trained_config(folder), load_run_config(folder)):  # the only checkpoint that is left
        assert Path(cfg.MODEL.WEIGHTS) == folder / files.FINAL
    (folder / files.FINAL).unlink()
    for load in (load_trained_config, load_run_config):
        with pytest.raises(UserError, match="has no checkpoint"):
            load(folder)


def test_overrides_and_other_configs_are_taken_literally(moved):
    config = moved()
    own = {"MODEL.WEIGHTS": "logs/run/other.pth", "MODEL.GDNORM.TEST_PATH": "posterior:logs/run/site"}
    cfg = load_trained_config(config, [word for pair in own.items() for word in pair])
    said = [cfg.MODEL.WEIGHTS, cfg.MODEL.GDNORM.TEST_PATH]
    assert cfg.OUTPUT_DIR == "../moved" and said == list(own.values())
    cfg = load_trained_config(config, ["OUTPUT_DIR", "logs/other"])
    assert (cfg.OUTPUT_DIR, cfg.MODEL.WEIGHTS) == ("logs/other", "")
    assert load_trained_config(f"{DEMO}/gdnorm.yml") == load_config(f"{DEMO}/gdnorm.yml")
    for file in config.parent.glob("*.pth"):
        file.unlink()
    (config.parent / files.LAST_CHECKPOINT).unlink()
    assert load_trained_config(config).OUTPUT_DIR == "logs/run", "the folder has no checkpoints"


def test_commands_work_on_a_moved_run(moved, tmp_path, fastreid_here):
    config = moved()
    done = fastreid_here("eval", "--config-file", config)
    assert done.returncode == 0 and (config.parent / "eval-mean/test_results.json").is_file(), done.stderr
    again = fastreid_here("train", "--resume", "--config-file", config)
    assert "Training had already finished in ../moved; testing it" in again.stdout
    assert table(again.stdout) == table(done.stdout)
    exported = fastreid_here("export", "--config-file", config, "--output", "export")
    assert exported.returncode == 0, exported.stderr
    swept = fastreid_here("paths", "--config-file", config, "--output", "paths", "--samples", 1, "--lambdas", 1)
    assert swept.returncode == 0, swept.stderr
    assert sorted(path.name for path in Path().iterdir()) == ["export", "paths"]


def test_damaged_results_are_named(tmp_path):
    assert read_test_results(tmp_path) is None
    (tmp_path / "test_results.json").write_text('{"RenderedStation": {"mAP"')
    with pytest.raises(UserError, match="test_results.json is damaged .*: remove it, and test again"):
        read_test_results(tmp_path)
