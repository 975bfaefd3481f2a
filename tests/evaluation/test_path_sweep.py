"""Path sweeps of a model that is not on the CPU; the device ``meta`` stands for a GPU on every machine."""

import torch
from fastreid.engine import DefaultTrainer

from fastreid_gdnorm.evaluation import path_sweep
from fastreid_gdnorm.evaluation.path_sweep import KeptImages, sweep


def test_kept_images_are_given_on_the_device_and_all_else_as_the_loader_gave_it(tiny):
    loader, _ = DefaultTrainer.build_test_loader(tiny("gdnorm", "MODEL.DEVICE", "cpu"), "RenderedStation")
    on_cpu, on_meta = KeptImages(loader, "cpu"), KeptImages(loader, "meta")
    assert len(on_cpu) == len(on_meta) == len(loader)
    for batch, here, there in zip(loader, on_cpu, on_meta):
        assert torch.equal(here["images"], batch["images"])
        assert there["images"].device.type == "meta" and there["images"].dtype == torch.float32
        assert there["images"].shape == batch["images"].shape
        assert torch.equal(there["targets"], batch["targets"]) and there["img_paths"] == batch["img_paths"]


class OnMeta(torch.nn.Module):
    """Nothing but a model's device, and the devices of the images that it was given."""

    device = torch.device("meta")

    def __init__(self):
        super().__init__()
        self.given = []

    def forward(self, batch):
        self.given.append(batch["images"].device)


def test_a_sweep_gives_the_model_images_on_its_own_device(tiny, tmp_path, monkeypatch):
    def without_ranking(model, loader, evaluator, flip_test):
        for batch in loader:
            model(batch)
        return {"mAP": 50.0}

    monkeypatch.setattr(path_sweep, "inference_on_dataset", without_ranking)
    model = OnMeta()
    records = sweep(model, tiny("gdnorm", "MODEL.DEVICE", "cpu"), tmp_path / "paths.jsonl", samples=0, lambdas=())
    assert len(records) == 3 + 2 and set(model.given) == {model.device}
