"""Adds a new labelled source to a trained model: K branches become K + 1."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import torch
from fastreid.config import CfgNode
from torch import Tensor

from ..data import DomainDataset, read_sources
from ..data.own_names import settle_names, settled
from ..disk import file_name, locked, replacing, write_text
from ..errors import UserError
from ..layers import PosteriorPath, add_branch
from ..modeling import is_gdnorm
from ..modeling.classifiers import is_classifier
from ..training.population_statistics import domain_loaders
from . import files
from .run_checkpoints import load_model
from .run_config import load_config
from .run_folder import load_run_config

logger = logging.getLogger("fastreid.gdnorm.new_source")


def begin_with_new_source(
    run: str | Path, name: str, overrides: Sequence[object] = (), branch_only: bool = False, resume: bool = False
) -> str:
    """Write the config and the checkpoint to start a training with one more source.

    The new branch is initialised as the posterior path of the new source's training images. The other branches and the
    classifier rows of known identities are unchanged. The classifier rows of new identities are random.

    Args:
        run: the folder of the trained model.
        name: the new source, which becomes the last one of DATASETS.NAMES.
        overrides: KEY, VALUE, ...; OUTPUT_DIR defaults to the run's folder with "-" and ``name`` appended.
        branch_only: whether to train only the new branch and the classifier (MODEL.GDNORM.NEW_BRANCH_ONLY).
        resume: whether to reuse the files if they exist.

    Returns:
        The config file.

    Raises:
        UserError: ``run`` is not a GDNorm run with at least two sources, it already has the source, a source is
            missing, or OUTPUT_DIR is ``run`` itself.
    """
    old = load_run_config(run, "cpu")
    if not is_gdnorm(old) or len(old.DATASETS.NAMES) < 2:
        raise UserError(
            f"--from {run}: adding a source needs a GDNorm model with at least two branches; name another run"
        )
    added = settled(new := old.clone(), [name])
    if len(added) > 1:
        raise UserError(f"--add-source {name} has {len(added)} domains: name one of them, {', '.join(added)}")
    if added[0] in old.DATASETS.NAMES:
        number = old.DATASETS.NAMES.index(added[0])
        raise UserError(f"--add-source {name}: {run} already has this source, as number {number}; name another")
    keys_and_values = list(map(str, overrides))
    load_config(Path(run) / files.CONFIG, keys_and_values, has_data_sets=False)  # checks the overrides
    old.MODEL.GDNORM.TEST_PATH = new.MODEL.GDNORM.TEST_PATH = "mean"
    new.DATASETS.NAMES = (*old.DATASETS.NAMES, *added)
    new.MODEL.HEADS.NUM_CLASSES = 0  # training counts the identities of all sources
    new.MODEL.BACKBONE.PRETRAIN = False
    new.MODEL.GDNORM.NEW_BRANCH_ONLY = branch_only
    new.OUTPUT_DIR = f"{str(run).rstrip('/')}-{file_name(name)}"
    new.merge_from_list(keys_and_values)
    settle_names(new, keys_and_values[::2])
    folder = Path(new.OUTPUT_DIR)
    if folder.resolve() == Path(run).resolve():
        raise UserError(f"OUTPUT_DIR {folder} is the run of --from, which would be overwritten: choose another folder")
    config, checkpoint = folder / files.START_CONFIG, folder / files.START
    if resume and config.is_file() and checkpoint.is_file():
        return str(config)
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        new.MODEL.WEIGHTS = str(checkpoint)
        write_text(config, new.dump())
        load_config(config, trains=True)  # fails before any work if the config is wrong
        with replacing(checkpoint) as part:
            torch.save({"model": _with_new_branch(old, new)}, part)
    return str(config)


def _with_new_branch(old: CfgNode, new: CfgNode) -> dict[str, Tensor]:
    known, combined = (DomainDataset(read_sources(cfg, combineall=new.DATASETS.COMBINEALL)) for cfg in (old, new))
    model = load_model(old)
    loaders, _ = domain_loaders(new, combined)
    path = PosteriorPath.from_images(model, loaders[-1])
    logger.info("Initialising the new branch from %d images of %s", path.images, new.DATASETS.NAMES[-1])
    state = add_branch(model, path).state_dict()
    rows = torch.tensor(classes_among(combined, known))
    for key, values in state.items():
        if is_classifier(key, values) and len(values) == len(rows):
            wider = 0.01 * torch.randn(combined.num_classes, values.shape[1])  # stock's initialisation
            wider[rows] = values
            state[key] = wider
    return dict(state)


def classes_among(combined: DomainDataset, known: DomainDataset) -> list[int]:
    """For each class of ``known``, the class of the same person in ``combined``.

    ``combined`` begins with the images of ``known``. A person's name can differ there: if the new source uses the same
    numbers, names get their source's prefix.
    """
    names = {item[1]: same[1] for item, same in zip(known.img_items, combined.img_items)}
    return [combined.pid_dict[names[pid]] for pid in known.pids]
