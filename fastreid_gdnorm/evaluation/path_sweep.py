"""One model along many paths: the sources', the mean, the ensemble, and samples of the Gaussian process."""

import contextlib
import json
import logging
import statistics
import time

import torch
from fastreid.engine import DefaultTrainer
from fastreid.evaluation import inference_on_dataset
from tqdm import tqdm

from ..errors import UserError
from ..modeling.path_names import parse_test_path


class KeptImages:
    """The batches of a test loader, decoded once and kept in memory; stands for the loader any number of times.

    Images are kept on the CPU, and each batch's are given on ``device``; all else is given where the loader left it.
    ``seconds_per_batch`` is the median time that whoever iterated last took for a batch.
    """

    def __init__(self, loader, device):
        self.dataset = loader.dataset
        self._device = device
        # fast-reid's ToTensor gives whole numbers from 0 to 255, in four times the bytes
        self._batches = [
            {**batch, "images": batch["images"].to("cpu", torch.uint8)}
            for batch in tqdm(loader, "decoding", leave=False)
        ]

    def __len__(self):
        return len(self._batches)

    def __iter__(self):
        seconds = []
        for batch in self._batches:
            start = time.perf_counter()
            yield {**batch, "images": batch["images"].to(self._device).float()}
            seconds.append(time.perf_counter() - start)
        self.seconds_per_batch = statistics.median(seconds)


def sweep(model, cfg, file, samples, lambdas):
    """Test ``model`` on DATASETS.TESTS along every path, by fast-reid's own evaluation.

    A sampled path is the noise of a seed, 0 to ``samples`` - 1, at a lambda: what ``fastreid eval --path sample:SEED
    MODEL.GDNORM.LAMBDA L`` follows. Every result is a line of ``file``, written when it is there; paths whose line is
    there already are not run again.

    Returns:
        a list of {"target", "path", "lambda" (None but for samples), metrics, "seconds_per_batch"}.

    Raises:
        UserError: ``file`` is not of this form.
    """
    plan = [
        (target, path, scale)
        for target in cfg.DATASETS.TESTS
        for path, scale in [
            *((f"source:{k}", None) for k in range(len(cfg.DATASETS.NAMES))),
            *(("mean", None), ("ensemble", None)),
            *((f"sample:{seed}", scale) for seed in range(samples) for scale in lambdas),
        ]
    ]
    done = {(record["target"], record["path"], record["lambda"]): record for record in read_records(file)}
    todo = [key for key in plan if key not in done]
    bar = tqdm(todo, "paths", initial=len(plan) - len(todo), total=len(plan), disable=None)
    model.eval()
    with _quiet(), open(file, "a") as lines, bar:
        kept, target_of_kept = None, None
        for target, path, scale in bar:
            if target != target_of_kept:
                loader, evaluator = DefaultTrainer.build_evaluator(cfg, target)
                kept, target_of_kept = KeptImages(loader, model.device), target
                with torch.no_grad():
                    model(next(iter(kept)))  # warms up, so that the first path's time is like the others'
            bar.set_postfix_str(f"{target} {path}")
            model.test_paths = _test_paths(path, scale, cfg)
            metrics = inference_on_dataset(model, kept, evaluator, flip_test=cfg.TEST.FLIP.ENABLED)
            record = {
                "target": target,
                "path": path,
                "lambda": scale,
                **{name: float(metrics[name]) for name in metrics},
            }
            done[target, path, scale] = {**record, "seconds_per_batch": kept.seconds_per_batch}
            lines.write(json.dumps(done[target, path, scale]) + "\n")
            lines.flush()
    return [done[key] for key in plan]


def read_records(file):
    """The records of a sweep's file; a last line that a kill has cut short is taken off."""
    if not file.is_file():
        return []
    text = file.read_text()
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        file.write_text(whole)
    try:
        records = [json.loads(line) for line in whole.splitlines()]
        return [record for record in records if (record["target"], record["path"], record["lambda"])]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{file} is no record of a path sweep ({error!r}): remove it") from error


def summarize(records):
    """What the paper says in words: {target: {metric: {lambda: where the mean path stands among the samples}}}.

    ``rank`` is 1 if no sampled path is better than the mean path, ``of`` counts it too.
    """
    summary = {}
    for target in dict.fromkeys(record["target"] for record in records):
        own = [record for record in records if record["target"] == target]
        (mean_path,) = [record for record in own if record["path"] == "mean"]
        summary[target] = {
            metric: {
                scale: _standing(mean_path[metric], [r[metric] for r in own if r["lambda"] == scale])
                for scale in dict.fromkeys(record["lambda"] for record in own if record["lambda"] is not None)
            }
            for metric in ("Rank-1", "mAP")
        }
    return summary


def _standing(of_mean_path, of_samples):
    return {
        "mean path": of_mean_path,
        "rank": 1 + sum(value > of_mean_path for value in of_samples),
        "of": 1 + len(of_samples),
        "average": statistics.mean(of_samples),
        "worst": min(of_samples),
        "best": max(of_samples),
    }


def _test_paths(path, scale, cfg):
    cfg = cfg.clone()
    cfg.defrost()
    if scale is not None:
        cfg.MODEL.GDNORM.LAMBDA = float(scale)
    return parse_test_path(path, cfg)


@contextlib.contextmanager
def _quiet():
    """Without fast-reid's lines about every pass."""
    logger = logging.getLogger("fastreid")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)
