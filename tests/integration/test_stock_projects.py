"""Projects that use fast-reid in their own ways, with configs that do not use the plugin."""

import contextlib
import logging
from collections import OrderedDict

import pytest
import torch
from fastreid.config import CfgNode
from fastreid.data import CommDataset, build, build_reid_test_loader, build_reid_train_loader, common
from fastreid.data.datasets import DATASET_REGISTRY
from fastreid.data.datasets.bases import ImageDataset
from fastreid.engine import DefaultTrainer, hooks
from fastreid.evaluation import DatasetEvaluator, ReidEvaluator, reid_evaluation
from fastreid.utils.checkpoint import Checkpointer
from torch.utils.data import DataLoader

from fastreid_gdnorm.config import remove_gdnorm_config
from fastreid_gdnorm.errors import UserError
from fastreid_gdnorm.integration.before_training import check_tests
from fastreid_gdnorm.registries import HOOK_REGISTRY
from fastreid_gdnorm.runs.results import read_test_results
from fastreid_gdnorm.runs.settings import Settings
from fastreid_gdnorm.training.finite import Finite
from fastreid_gdnorm.training.reproducible import Reproducible


class Fixed(DatasetEvaluator):
    """Always gives the same results."""

    def __init__(self, results):
        self.results = results

    def evaluate(self):
        return OrderedDict(self.results)


class Blind(torch.nn.Module):
    def forward(self, batch):
        return torch.zeros(len(batch["targets"]), 2)


STATION = "RenderedStation"
RESULTS = {
    STATION: {"Acc@1": torch.tensor([12.5]), "metric": 12.5},
    "RenderedNight": {"attributes": OrderedDict(hat=3.0, bag=OrderedDict(big=4))},
    "RenderedMall": {},
}


class Project(DefaultTrainer):
    """Has evaluators for some of its targets."""

    @classmethod
    def build_evaluator(cls, cfg, dataset_name, output_dir=None):
        if dataset_name not in RESULTS:
            raise NotImplementedError
        images = [{"targets": 0, "images": torch.zeros(3, 32, 16)}] * 3
        return DataLoader(images), Fixed(RESULTS[dataset_name])


TESTED = {
    "two": [STATION, "RenderedNight"],
    "the first without any": ["RenderedMall", STATION, "RenderedNight"],
    "one": [STATION],
    "no evaluator": ["RenderedCampus"],
    "no target": [],
}


@pytest.mark.parametrize("targets", TESTED.values(), ids=TESTED)
def test_results_of_any_shape_are_returned_as_in_stock_and_their_numbers_are_saved(tiny, tmp_path, targets):
    cfg = tiny("baseline")
    cfg.DATASETS.TESTS = tuple(targets)
    remove_gdnorm_config(cfg)
    stock = DefaultTrainer.test.__func__.__wrapped__(Project, cfg, Blind())
    found = Project.test(cfg, Blind())
    assert found == stock and type(found) is type(stock)
    saved = read_test_results(tmp_path / "run")
    numbers = {
        STATION: {"Acc@1": 12.5, "metric": 12.5},
        "RenderedNight": {"attributes/hat": 3.0, "attributes/bag/big": 4.0},
        "RenderedMall": {},
    }
    assert saved == ({target: numbers[target] for target in targets} if STATION in targets else None)


class Standing(Project):
    """Trains nothing."""

    def run_step(self):
        pass


@pytest.mark.parametrize("period", [0, 1, 2])
def test_a_trainer_without_evaluator_or_the_plugins_keys_saves_its_last_checkpoint(tiny, tmp_path, period):
    cfg = tiny("baseline", "SOLVER.MAX_EPOCH", "1", "DATASETS.TESTS", "('RenderedCampus',)")
    cfg.TEST.EVAL_PERIOD = period
    remove_gdnorm_config(cfg)
    assert Standing(cfg).train() == {}
    assert (tmp_path / "run/model_final.pth").is_file() and not (tmp_path / "run/test_results.json").exists()


def test_training_ends_with_a_test_unless_it_failed(tiny):
    class Short(Standing):
        fails = True

        def train(self):
            self.iters_per_epoch = 2
            return super().train()

        def run_step(self):
            if self.fails:
                raise FloatingPointError

    trainers = [Short(tiny("baseline", "SOLVER.MAX_EPOCH", "1", "TEST.EVAL_PERIOD", "2")) for _ in range(2)]
    trainers[1].fails = False
    try:
        trainers[0].train()
    except FloatingPointError:
        assert trainers[1].train() == RESULTS[STATION], "also while another's error is handled"
    assert not hasattr(trainers[0], "_last_eval_results")


def test_a_test_can_change_a_stock_models_statistics(tiny):
    class Adapting(Fixed):
        def evaluate(self):
            model.running_mean += 1
            return super().evaluate()

    class Adapted(Project):
        @classmethod
        def build_evaluator(cls, cfg, dataset_name, output_dir=None):
            return super().build_evaluator(cfg, dataset_name)[0], Adapting(RESULTS[dataset_name])

    model = torch.nn.BatchNorm2d(1)
    model.forward = lambda batch: batch["images"]
    Adapted.test(tiny("baseline"), model)
    assert model.running_mean == 1


def test_the_data_folder_that_a_project_sets_is_read(tiny, datasets, monkeypatch):
    monkeypatch.setenv("FASTREID_DATASETS", "/nowhere")
    monkeypatch.setattr(build, "_root", str(datasets))
    for loader in build_reid_train_loader(tiny("baseline")), build_reid_test_loader(tiny(), dataset_name=STATION)[0]:
        assert loader.dataset.img_items[0][0].startswith(str(datasets))
    assert build._root == str(datasets)


class OwnEvaluation(hooks.HookBase):
    def __init__(self, period, function):
        self.function = function

    def after_train(self):
        self.function()


class LeastIsBest(hooks.PeriodicCheckpointer):
    def __init__(self, *args):
        super().__init__(*args)
        self.best_metric = float("inf")


def test_a_projects_own_hook_classes_are_kept(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(hooks, "EvalHook", OwnEvaluation)
    monkeypatch.setattr(hooks, "PeriodicCheckpointer", LeastIsBest)
    added = hooks.CallbackHook()
    monkeypatch.setitem(HOOK_REGISTRY._obj_map, "Added", type("Added", (), {"from_config": lambda cfg, trainer: added}))
    cfg = tiny("baseline", "SOLVER.MAX_EPOCH", "1", "SEED", "0", "SOLVER.HOOKS", "('Added',)")
    trainer = Standing(cfg)
    kinds = [type(hook) for hook in trainer._hooks]
    assert "best_metric" not in trainer.checkpointer.checkpointables
    assert kinds[-6:] == [OwnEvaluation, hooks.CallbackHook, Finite, Reproducible, LeastIsBest, hooks.PeriodicWriter]
    assert trainer.train() == RESULTS[STATION]


def test_a_trainer_with_only_its_own_hooks_warns_of_the_keys_it_ignores(tiny, monkeypatch, caplog):
    class OwnHooks(Standing):
        def build_hooks(self):
            return []

    monkeypatch.setattr(logging.getLogger("fastreid"), "propagate", True)
    OwnHooks(tiny("baseline"))
    assert "ignored" not in caplog.text
    OwnHooks(tiny("baseline", "SEED", "0", "SOLVER.HOOKS", "('DomainPreciseBN',)"))
    assert "SOLVER.HOOKS and SEED's reseeding at every epoch: ignored, because OwnHooks.build_hooks" in caplog.text


def test_a_stock_model_loads_a_checkpoint_as_in_stock(tmp_path):
    """Stock removes one prefix only."""
    model = torch.nn.ModuleDict({"module": torch.nn.Linear(2, 1)})
    ones = {f"module.module.{name}": torch.ones_like(values) for name, values in model["module"].state_dict().items()}
    torch.save({"model": ones}, tmp_path / "wrapped.pth")
    Checkpointer(model).load(str(tmp_path / "wrapped.pth"))
    assert all((values == 1).all() for values in model.parameters())


def test_items_can_be_anything_that_stock_accepts(tiny, monkeypatch):
    """More than three values, images that are not files, or anything in a data set of another class."""
    images = {name: torch.full((32, 16, 3), value, dtype=torch.uint8).numpy() for name, value in zip("qg", (0, 9))}
    items = [[(images[part], 7, camera, "dusk")] for camera, part in enumerate(images)]
    reader = type(
        "Own", (ImageDataset,), {"__init__": lambda self, root, **kw: ImageDataset.__init__(self, [], *items)}
    )
    monkeypatch.setattr(reader, "show_test", lambda self: None)
    monkeypatch.setitem(DATASET_REGISTRY._obj_map, "Own", reader)
    monkeypatch.setattr(common, "read_image", lambda image: image)
    cfg = tiny("baseline", "DATASETS.TESTS", "('Own',)")
    check_tests(DefaultTrainer, cfg)
    loader, _ = DefaultTrainer.build_evaluator(cfg, "Own")
    assert [item[1:] for item in loader.dataset.img_items] == [(7, 0, "dusk"), (7, 1, "dusk")]

    class ByName(CommDataset):
        def __init__(self):
            self.img_items = [{"name": "a"}, {"name": "b"}]

    class OwnData(DefaultTrainer):
        @classmethod
        def build_test_loader(cls, cfg, dataset_name):
            return DataLoader(ByName()), 1

    loader, _ = OwnData.build_evaluator(cfg, "Own")
    assert loader.dataset.img_items == [{"name": "a"}, {"name": "b"}]


def test_what_a_trainer_does_not_use_in_tests_is_not_checked(tiny, monkeypatch):
    class Untested(DefaultTrainer):
        def build_hooks(self):
            return []

    check_tests(Untested, tiny("baseline", "DATASETS.TESTS", "('Market1501',)"))
    cfg, without_tests = tiny("baseline"), tiny("baseline", "DATASETS.TESTS", "()")
    cfg.TEST.METRIC = without_tests.TEST.METRIC = "learned"
    check_tests(DefaultTrainer, without_tests)
    with pytest.raises(UserError, match="TEST.METRIC must be cosine or euclidean; got 'learned'"):
        check_tests(DefaultTrainer, cfg)
    monkeypatch.setattr(reid_evaluation, "build_dist", lambda *args, **kwargs: None)
    check_tests(DefaultTrainer, cfg)


@pytest.mark.parametrize("period", ["1", "3"])
def test_a_trainer_that_calls_its_hooks_itself_leaves_no_untested_checkpoint(tiny, tmp_path, period):
    class Calling(Standing):
        def after_epoch(self):
            for hook in self._hooks:
                hook.after_epoch()

    Calling(tiny("baseline", "TEST.EVAL_PERIOD", period)).train()
    assert not (tmp_path / "run/model_untested.pth").exists()
    assert (tmp_path / "run/last_checkpoint").read_text() == "model_final.pth"


def test_a_stock_run_can_be_resumed_with_other_sources(tiny, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("fastreid"), "propagate", True)
    begun = Settings(tiny("baseline")).state_dict()
    Settings(tiny("baseline", "DATASETS.NAMES", "('RenderedNight',)")).load_state_dict(begun)
    assert "Resuming with DATASETS.NAMES ['RenderedNight'], before" in caplog.text


def test_an_evaluator_needs_no_more_keys_than_in_stock(tiny):
    evaluator = ReidEvaluator(CfgNode({"TEST": tiny("baseline").TEST}), 1)
    evaluator.process({"targets": torch.tensor([1, 1]), "camids": torch.tensor([0, 1])}, torch.eye(2))
    assert evaluator.evaluate()["mAP"] == 100


@pytest.mark.parametrize("holds_nan", ["buffer", "parameter", "running_mean"])
def test_a_buffer_can_hold_nan_but_parameters_and_statistics_cannot(tiny, holds_nan):
    class Remembering(Standing):
        def run_step(self):
            self.model.register_buffer("memory", torch.tensor([float("nan")]))
            if holds_nan == "parameter":
                next(self.model.parameters()).data.fill_(float("nan"))
            if holds_nan == "running_mean":
                next(values for name, values in self.model.named_buffers() if name.endswith(holds_nan)).fill_(
                    float("nan")
                )

    trainer = Remembering(tiny("baseline", "SOLVER.MAX_EPOCH", "1"))
    with contextlib.nullcontext() if holds_nan == "buffer" else pytest.raises(FloatingPointError, match="contain NaN"):
        trainer.train()
