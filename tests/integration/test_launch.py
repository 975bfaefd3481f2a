"""fast-reid's launch, called like scripts of other projects call it."""

from argparse import Namespace

import fastreid.engine
import pytest
from fastreid.config import CfgNode, get_cfg
from fastreid.engine import launch

from fastreid_gdnorm.integration.launch import _device

DEFAULT = get_cfg().MODEL.DEVICE


@pytest.fixture
def config_file(tmp_path):
    """A config with a key of its project's own; its base sets the device."""
    (tmp_path / "base.yml").write_text("MODEL:\n  DEVICE: cuda:1\n")
    (tmp_path / "run.yml").write_text("_BASE_: base.yml\nMODEL:\n  PARTS: 3\n")
    return str(tmp_path / "run.yml")


def test_a_script_with_its_own_keys_reaches_its_main_function(config_file):
    def main(args):
        cfg = get_cfg()
        cfg.MODEL.PARTS = 1
        cfg.merge_from_file(args.config_file)
        cfg.merge_from_list(args.opts)
        told.append(cfg)

    told = []
    launch(main, 1, args=(Namespace(config_file=config_file, opts=["MODEL.PARTS", "5"]),))
    assert told[0].MODEL.PARTS == 5 and told[0].MODEL.DEVICE == "cuda:1"
    launch(lambda *args: told.append(args), 1, args=("no", {"config": 1}))
    launch(lambda *args: told.append(args), 1)
    assert told[1:] == [("no", {"config": 1}), ()] and fastreid.engine.launch is launch


def test_processes_start_on_the_device_in_the_arguments(config_file, tmp_path):
    cfg = get_cfg()
    cfg.MODEL.DEVICE = "cpu"
    (tmp_path / "broken.yml").write_text("MODEL: [")
    own = ["MODEL.PARTS", "4"]
    for device, *args in (
        ("cuda:1", Namespace(config_file=config_file, opts=own)),
        ("cpu", Namespace(config_file=config_file, opts=[*own, "MODEL.DEVICE", "'cpu'"])),
        ("cpu", cfg, Namespace(config_file=config_file)),
        ("cuda:1", None, 3, Namespace(config_file=config_file, opts=None)),
        (DEFAULT, Namespace(config_file=str(tmp_path / "broken.yml"), opts=own)),
        (DEFAULT, Namespace(config_file=str(tmp_path / "nowhere.yml"))),
        (DEFAULT, CfgNode({"OUTPUT_DIR": ""}), "run.yml"),
        (DEFAULT, Namespace(config_file=None, opts=True)),
        (DEFAULT,),
    ):
        assert _device(args) == device, args
