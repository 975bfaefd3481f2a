"""Path sweeps without a network: the images' device, the restored model and the sweep's file.

The device ``meta`` stands in for a GPU on every machine.
"""

import contextlib

import pytest
import torch
from fastreid.engine import DefaultTrainer

from fastreid_gdnorm.errors import UserError
from fastreid_gdnorm.evaluation import kept_images
from fastreid_gdnorm.evaluation.kept_images import KeptImages
from fastreid_gdnorm.evaluation.path_sweep import read_records, sweep


def test_kept_images_move_to_the_device_and_everything_else_stays_as_loaded(tiny):
    loader, _ = DefaultTrainer.build_test_loader(tiny("gdnorm", "MODEL.DEVICE", "cpu"), "RenderedStation")
    on_cpu, on_meta = KeptImages(loader, "cpu"), KeptImages(loader, "meta")
    assert len(on_cpu) == len(on_meta) == len(loader)
    for batch, here, there in zip(loader, on_cpu, on_meta):
        assert torch.equal(here["images"], batch["images"])
        assert there["images"].device.type == "meta" and there["images"].dtype == torch.float32
        assert there["images"].shape == batch["images"].shape
        assert torch.equal(there["targets"], batch["targets"]) and there["img_paths"] == batch["img_paths"]


class OnMeta(torch.nn.Module):
    """A model with a device and paths only; it records the images' device and its mode in every pass."""

    device = torch.device("meta")
    test_paths = ("its own",)

    def __init__(self):
        super().__init__()
        self.passes = []

    def forward(self, batch):
        self.passes.append((batch["images"].device, self.training))


@pytest.fixture
def without_ranking(monkeypatch):
    """Tests run the model and return made-up numbers."""

    def inference(model, loader, evaluator, flip_test):
        for batch in loader:
            model(batch)
        return {"mAP": 50.0}

    monkeypatch.setattr(kept_images, "inference_on_dataset", inference)


def test_a_sweep_gives_the_model_images_on_its_own_device(tiny, tmp_path, without_ranking):
    model = OnMeta()
    records = sweep(model, tiny("gdnorm", "MODEL.DEVICE", "cpu"), tmp_path / "paths.jsonl", samples=0, lambdas=())
    assert len(records) == 3 + 2 and set(model.passes) == {(model.device, False)}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("fails", [True, False])
def test_a_sweep_restores_the_model_even_after_an_exception(tiny, tmp_path, without_ranking, training, fails):
    model, cfg, file = OnMeta().train(training), tiny("gdnorm", "MODEL.DEVICE", "cpu"), tmp_path / "paths.jsonl"

    def stop(*_):
        if fails and len(model.passes) == 3:  # the first pass is the warm-up
            raise KeyboardInterrupt

    model.register_forward_hook(stop)
    with pytest.raises(KeyboardInterrupt) if fails else contextlib.nullcontext():
        sweep(model, cfg, file, samples=1, lambdas=[0.6])
    assert model.training == training and model.test_paths == ("its own",)
    assert len(read_records(file)) == (1 if fails else 6), "finished paths are kept"


@pytest.mark.parametrize("line", ["no json", "[1, 2]", '{"target": "Here", "path": "mean"}'])
def test_a_file_that_is_not_a_sweep_is_refused_and_left_alone(tmp_path, line):
    file = tmp_path / "paths.jsonl"
    file.write_text(line + "\n")
    with pytest.raises(UserError, match="paths.jsonl is not a record of a path sweep .*: remove it"):
        read_records(file)
    assert file.read_text() == line + "\n"


def test_reading_does_not_change_a_sweep_that_is_being_written(tmp_path):
    file = tmp_path / "paths.jsonl"
    file.write_text('{"target": "RenderedStation", "path": "mean", "lambda": null}\n{"target": "Rend')
    before = file.read_bytes()
    assert [record["path"] for record in read_records(file)] == ["mean"] and file.read_bytes() == before
