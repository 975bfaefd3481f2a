"""``fastreid train --add-source``: one more branch for a trained model."""

import pytest
import torch

from fastreid_gdnorm.data import DomainDataset, read_sources
from fastreid_gdnorm.data.identities import apart
from fastreid_gdnorm.layers import PosteriorPath, SourcePath, follow
from fastreid_gdnorm.runs.new_source import begin_with_new_source, classes_among
from fastreid_gdnorm.runs.run_checkpoints import load_model
from fastreid_gdnorm.runs.run_config import load_config
from fastreid_gdnorm.runs.run_folder import load_run_config
from fastreid_gdnorm.training.population_statistics import domain_loaders

from ..conftest import fastreid
from .toy import metrics, one_line

NEW = "RenderedNight"
BATCH = ["SOLVER.IMS_PER_BATCH", "16"]  # holds two identities of each of four sources


def test_known_classes_are_found_when_the_new_source_uses_the_same_numbers():
    old, more = ([(f"{place}_{pid}.jpg", pid, 0) for pid in range(1, 13)] for place in ("old", "new"))
    known, both = (DomainDataset(apart(sources, "AB", ["a_", "b_"])) for sources in ([old], [old, more]))
    assert both.num_classes == 24 and both.pids != sorted(both.pids, key=lambda name: int(name[2:]))
    for name, number in zip(known.pids, classes_among(both, known)):
        assert both.pids[number] == f"A_{name}"


def test_the_new_branch_is_the_posterior_path_and_everything_else_is_unchanged(toy_run, tmp_path):
    config = begin_with_new_source(toy_run, NEW, ["OUTPUT_DIR", tmp_path])
    old, new = (
        torch.load(f, weights_only=True)["model"] for f in (toy_run / "model_final.pth", tmp_path / "start.pth")
    )
    for key, values in old.items():
        if key != "heads.weight":
            assert torch.equal(new[key], values), key
    cfg = load_run_config(toy_run, "cpu")
    model = load_model(cfg)
    after = load_config(config)
    assert list(after.DATASETS.NAMES) == [*cfg.DATASETS.NAMES, NEW] and config == str(tmp_path / "start.yaml")
    sources = read_sources(after)
    known, all_of_them = DomainDataset(sources[:-1]), DomainDataset(sources)
    for pid in known.pids:
        assert torch.equal(new["heads.weight"][all_of_them.pid_dict[pid]], old["heads.weight"][known.pid_dict[pid]])
    path = PosteriorPath.from_images(model, domain_loaders(after, all_of_them)[0][-1])
    after.MODEL.HEADS.NUM_CLASSES = all_of_them.num_classes
    begun, images = load_model(after).eval(), 255 * torch.rand(4, 3, 32, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad(), follow(begun, SourcePath(3)):
        found = begun.embed(images, [SourcePath(3)])
        expected = model.eval().embed(images, [path])
    assert torch.allclose(found, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))


def test_new_branch_only_trains_nothing_but_the_branch_and_the_classifier(toy_run, tmp_path):
    words = ["--new-branch-only", "--seed", 1, "OUTPUT_DIR", tmp_path, "SOLVER.MAX_EPOCH", 1, *BATCH]
    done = fastreid("train", "--add-source", NEW, "--from", toy_run, *words)
    assert done.returncode == 0, done.stderr
    begun, ended = (torch.load(tmp_path / f, weights_only=True)["model"] for f in ("start.pth", "model_final.pth"))
    trained = {key for key in begun if not torch.equal(begun[key], ended[key])}
    weights = {key for key in trained if key.endswith((".weight", ".bias"))}
    assert "heads.weight" in weights and all(".branches.3." in key for key in weights - {"heads.weight"})
    assert {key for key in begun if key.endswith("branches.3.weight")} <= weights
    assert any("loss_triplet_path" in line for line in metrics(tmp_path))


@pytest.mark.long
def test_it_trains_everything_and_resumes(toy_run, tmp_path, fastreid_here):
    words = ["train", "--add-source", NEW, "--from", toy_run, "--seed", 1]
    keys = ["OUTPUT_DIR", tmp_path, "SOLVER.CHECKPOINT_PERIOD", 1, *BATCH]
    assert fastreid_here(*words, *keys, "SOLVER.MAX_EPOCH", 1).returncode == 0
    begun, steps = torch.load(tmp_path / "start.pth", weights_only=True)["model"], metrics(tmp_path)[-1]["iteration"]
    done = fastreid_here(*words, "--resume", *keys, "SOLVER.MAX_EPOCH", 2)
    assert done.returncode == 0, done.stderr
    ended = torch.load(tmp_path / "model_final.pth", weights_only=True)["model"]
    assert not torch.equal(begun["backbone.features.0.0.weight"], ended["backbone.features.0.0.weight"])
    assert metrics(tmp_path)[-1]["iteration"] > steps, "the run resumes where it stopped"


def test_mistakes_get_one_line(toy_run, exported, tmp_path, fastreid_here):
    mistakes = [
        (["--add-source", NEW], "--add-source NAME and --from RUN must be given together"),
        (["--new-branch-only", "--config-file", "x.yml"], "--new-branch-only needs both"),
        (["--add-source", "RenderedMall", "--from", toy_run], "already has this source, as number 1"),
        (["--add-source", "Nowhere", "--from", toy_run], "DATASETS.NAMES: there is no 'Nowhere'"),
        (["--add-source", NEW, "--from", tmp_path], "is not a run"),
        (["--add-source", NEW, "--from", toy_run, "SOLVER.EPOCHS", "1"], "the overrides KEY VALUE ...: "),
        (["--add-source", NEW, "--from", exported], "needs a GDNorm model with at least two branches"),
        (["--add-source", NEW, "--from", toy_run, "--config-file", "x.yml"], "leave out --config-file"),
    ]
    for words, said in mistakes:
        assert said in one_line(fastreid_here("train", *words, "OUTPUT_DIR", tmp_path / "out"))
    words = ["--add-source", NEW, "--from", toy_run, "OUTPUT_DIR", f"{toy_run}/../{toy_run.name}"]
    assert "is the run of --from, which would be overwritten" in one_line(fastreid_here("train", *words))
