"""A new labelled source for a trained model: K branches to K + 1."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import torch
from fastreid.config import CfgNode
from torch import Tensor

from ..data import DomainDataset, read_sources
from ..disk import locked, replacing, write_text
from ..errors import UserError
from ..layers import PosteriorPath, add_branch
from ..modeling import is_gdnorm
from ..training.population_statistics import domain_loaders
from . import files
from .run_checkpoints import load_model
from .run_config import load_config
from .run_folder import load_run_config

logger = logging.getLogger("fastreid.gdnorm.new_source")


def begin_with_new_source(
    run: str | Path, name: str, overrides: Sequence[object] = (), branch_only: bool = False, resume: bool = False
) -> str:
    """Write the config and the checkpoint that a training of one more source begins with.

    The new branch begins as the posterior path of the source's training images; the other branches are as they were,
    and so are the classifier's rows of their identities. New identities' rows are random.

    Args:
        run: the folder of the trained model.
        name: of the new source, the last of DATASETS.NAMES from now on.
        overrides: KEY, VALUE, ...; OUTPUT_DIR is the run's folder with the name added, if they do not say it.
        branch_only: whether only the new branch and the classifier are to be trained (MODEL.GDNORM.NEW_BRANCH_ONLY).
        resume: whether what was written earlier will do.

    Returns:
        The config file.

    Raises:
        UserError: ``run`` is no run with GDNorm and two sources or more, it has the source already, a source is not
            at hand, or OUTPUT_DIR is ``run``, which would be trained over.
    """
    old = load_run_config(run, "cpu")
    if not is_gdnorm(old) or len(old.DATASETS.NAMES) < 2:
        raise UserError(f"--from {run} has no two branches or more to begin a new one by: name a run of GDNorm")
    if name in old.DATASETS.NAMES:
        raise UserError(f"--add-source {name}: {run} has it already, as number {old.DATASETS.NAMES.index(name)}")
    words = list(map(str, overrides))
    load_config(Path(run) / files.CONFIG, words, has_data_sets=False)  # says in one line what is wrong with them
    old.MODEL.GDNORM.TEST_PATH = "mean"
    new = old.clone()
    new.DATASETS.NAMES = (*old.DATASETS.NAMES, name)
    new.MODEL.HEADS.NUM_CLASSES = 0  # of all sources, which training counts
    new.MODEL.BACKBONE.PRETRAIN = False
    new.MODEL.GDNORM.NEW_BRANCH_ONLY = branch_only
    new.OUTPUT_DIR = f"{str(run).rstrip('/')}-{name}"
    new.merge_from_list(words)
    folder = Path(new.OUTPUT_DIR)
    if folder.resolve() == Path(run).resolve():
        raise UserError(f"OUTPUT_DIR {folder} is the run that --from names, which would be lost: choose another")
    config, checkpoint = folder / files.START_CONFIG, folder / files.START
    if resume and config.is_file() and checkpoint.is_file():
        return str(config)
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        new.MODEL.WEIGHTS = str(checkpoint)
        write_text(config, new.dump())
        load_config(config, trains=True)  # finds what is wrong with it before any work is done
        with replacing(checkpoint) as part:
            torch.save({"model": _with_new_branch(old, new)}, part)
    return str(config)


def _with_new_branch(old: CfgNode, new: CfgNode) -> dict[str, Tensor]:
    known, all_of_them = (DomainDataset(read_sources(cfg, combineall=new.DATASETS.COMBINEALL)) for cfg in (old, new))
    model = load_model(old)
    loaders, _ = domain_loaders(new, all_of_them)
    path = PosteriorPath.from_images(model, loaders[-1])
    logger.info("The new branch begins as the posterior path of %d images of %s", path.images, new.DATASETS.NAMES[-1])
    state = add_branch(model, path).state_dict()
    rows = torch.tensor(classes_among(all_of_them, known))
    for key, values in state.items():
        if "head" in key and values.dim() == 2 and len(values) == len(rows):  # a classifier
            wider = 0.01 * torch.randn(all_of_them.num_classes, values.shape[1])  # as stock begins
            wider[rows] = values
            state[key] = wider
    return dict(state)


def classes_among(all_of_them: DomainDataset, known: DomainDataset) -> list[int]:
    """The class in a training set of each class of another, whose images are its first ones.

    The same person may have another name in it, where a further source has numbers that were nobody else's before.
    """
    names = {item[1]: same[1] for item, same in zip(known.img_items, all_of_them.img_items)}
    return [all_of_them.pid_dict[names[pid]] for pid in known.pids]
