"""A site's own images to its posterior path, or to one for each of its cameras: the work of ``fastreid adapt``."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import torch
from fastreid.config import CfgNode
from torch import Tensor
from tqdm import tqdm

from ..disk import digest
from ..errors import UserError, not_finite
from ..image_loading import read_picture
from ..layers import NearnessPath, PosteriorPath, forward_along
from ..layers.posterior_path import branches_agree
from ..modeling import branched
from ..modeling.posterior_files import PosteriorFile, image_digests, save_posterior
from ..own_files import in_place_of
from ..runs.run_checkpoints import load_model
from ..runs.run_folder import load_run_config
from ..site_files import FIGURE, OFFSETS, SITE, check_output, write_summary, written_files
from .adaptation_check import Reliability, assess
from .description import MANIFEST
from .feature_extractor import prepared_ahead
from .records import Record
from .torch_network import resizing


class Adapted(NamedTuple):
    """One path that was written.

    Args:
        file: its file.
        path: the path itself.
        reliability: of the guard.
        branches: the images' weights over the branches by nearness, one for each source.
    """

    file: Path
    path: PosteriorPath
    reliability: Reliability
    branches: list[float]


class Adapter:
    """Makes posterior paths of a run's model: ``model``, built by ``cfg``, in which everything has branches.

    Args:
        model: a run's folder. A model without branches gets them from its sources, which must be at hand.
        device: "cpu", "cuda" or "cuda:N"; by default CUDA where there is one.
        batch_size: images that go through the network at once.
        workers: threads that read images.

    Raises:
        UserError: it is no run, has one source, or has no branches and its sources are not here.
    """

    def __init__(self, model: str | Path, device: str = "", batch_size: int = 256, workers: int = 0) -> None:
        if (Path(model) / MANIFEST).is_file() or not Path(model).is_dir():
            raise UserError(
                f"--model {model} is not a run: --by norms needs BN branches, which exports do not contain; "
                "pass the run's folder, or adapt --by features"
            )
        self.cfg = branched(load_run_config(model, device))
        sources = len(self.cfg.DATASETS.NAMES)
        if sources < 2:
            raise UserError(f"{model} has {sources} source: it takes two or more to tell how domains differ")
        self.cfg.MODEL.GDNORM.TEST_PATH = "ensemble"  # so that branches without statistics of their own get them
        self.model = load_model(self.cfg)
        if branches_agree(self.model):
            raise UserError(f"{model}: all branches have the same statistics, which do not tell how domains differ")
        self._checkpoint = digest(self.cfg.MODEL.WEIGHTS)
        self._batch_size, self._workers = batch_size, workers

    def adapt(self, records: Sequence[Record], file: Path, prior_only: Sequence[str], skip: bool) -> Adapted:
        """The posterior path of these images, also written to ``file``.

        Raises:
            UserError: there are fewer than two images, one cannot be read and is not to be skipped, no layer fits a
                pattern of ``prior_only``, or the network gives no numbers.
        """
        batches = _Batches(self.cfg, records, self._batch_size, self._workers, skip)
        spread_out = records[:: len(batches)] or records  # a batch of images from first to last
        sample = batches if len(batches) == 1 else _Batches(self.cfg, spread_out, len(records), self._workers, skip)
        images = next(iter(sample), {"images": torch.empty(0)})["images"]
        if len(images) < 2:
            raise UserError(f"{len(images)} readable images do not tell how images vary: give two or more, better 64")
        nearness = NearnessPath()
        with torch.no_grad():
            features = forward_along(self.model.eval(), {"images": images}, nearness)
        unusable = (~features.isfinite().all(dim=1)).nonzero()
        if len(unusable):
            looked_at = [record.path for record in spread_out if record.path not in sample.skipped]
            raise not_finite(looked_at[int(unusable[0])], self.cfg.MODEL.WEIGHTS)
        try:
            path = PosteriorPath.from_images(self.model, batches, prior_only)
        except ValueError as error:
            raise UserError(f"--prior-only-layers: {error}") from error
        reliability = assess(self.model, images, path)
        numbers = [values for layer in path.layers.values() for values in layer]
        if not all(bool(values.isfinite().all()) for values in numbers) or not math.isfinite(reliability.repeatability):
            raise not_finite("these images", self.cfg.MODEL.WEIGHTS)
        used = [record.path for record in records if record.path not in batches.skipped]
        save_posterior(file, PosteriorFile(path, self._checkpoint, image_digests(used)))
        return Adapted(file, path, reliability, nearness.weights().mean(0).tolist())


class SitePaths(NamedTuple):
    """A site's path, and that of each of its cameras that has one."""

    whole: Adapted
    cameras: dict[str, Adapted]

    def by_name(self) -> dict[str, Adapted]:
        """All of them, by what messages and figures call them."""
        return {"site": self.whole, **{f"camera {camera}": one for camera, one in self.cameras.items()}}


def adapt_site(
    adapter: Adapter,
    records: Sequence[Record],
    cameras: Mapping[str, Sequence[Record]],
    folder: Path,
    prior_only: Sequence[str] = (),
    skip: bool = False,
    draw: Callable[[Path, SitePaths], object] | None = None,
    learn: Callable[[Path], dict[str, Any]] | None = None,
) -> SitePaths:
    """Write into ``folder`` what ``posterior:FOLDER`` reads: a site's path, and one for each camera with two images.

    The files of an earlier adaptation, as its adapt.json lists them, are replaced in the end.

    Args:
        records: the site's images.
        cameras: those of each camera that is to have a path of its own.
        prior_only, skip: as :meth:`Adapter.adapt` takes them.
        draw: writes FIGURE, of which it gets the path, for that site.
        learn: adds offsets to the folder, which has the paths already, and returns what adapt.json says of them.

    Raises:
        UserError: as :func:`~fastreid_gdnorm.site_files.check_output` and :meth:`Adapter.adapt`.
    """
    several = {camera: own for camera, own in cameras.items() if len(own) > 1}
    check_output(folder, [SITE, FIGURE, *map(_file_of, several), *[OFFSETS] * bool(learn)])
    with in_place_of(folder, written_files(folder)) as part:
        whole = adapter.adapt(records, part / SITE, prior_only, skip)
        adapted = {
            camera: adapter.adapt(own, part / _file_of(camera), prior_only, skip) for camera, own in several.items()
        }
        site = SitePaths(_in(folder, whole), {camera: _in(folder, one) for camera, one in adapted.items()})
        if draw:
            draw(part / FIGURE, site)
        of_cameras = {
            camera: {"file": one.file.name, "n": one.path.images, **_guard(one)} for camera, one in adapted.items()
        }
        own = {"n": whole.path.images, **_guard(whole), "branches": whole.branches}
        summary: dict[str, Any] = {"file": SITE, **own, "cameras": of_cameras}
        write_summary(part, summary)
        if learn:
            write_summary(part, {**summary, "offsets": learn(part)})
    return site


def _file_of(camera: str) -> str:
    return f"camera-{quote(camera, safe='')}.npz"


def _in(folder: Path, adapted: Adapted) -> Adapted:
    return adapted._replace(file=folder / adapted.file.name)


def _guard(adapted: Adapted) -> dict[str, Any]:
    return {"guard": {**adapted.reliability._asdict(), "trusts": adapted.reliability.trusts}}


class _Batches:
    """The images in batches {"images": (B, 3, H, W)}, as often as one goes through them; one batch stays in memory.

    ``skipped`` are the files that could not be read.
    """

    def __init__(self, cfg: CfgNode, records: Sequence[Record], batch_size: int, workers: int, skip: bool) -> None:
        self._files = [record.path for record in records]
        self._resize = resizing(cfg)
        self._device = torch.device(cfg.MODEL.DEVICE)
        self._batch_size, self._workers, self._skip = batch_size, workers, skip
        self._kept: list[dict[str, Tensor]] = []
        self.skipped: set[str] = set()

    def __len__(self) -> int:
        return -(-len(self._files) // self._batch_size)

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        if len(self) == 1:
            self._kept = self._kept or list(self._read())
            return iter(self._kept)
        return self._read()

    def _read(self) -> Iterator[dict[str, Tensor]]:
        batch: list[Tensor] = []
        bar = tqdm(self._files, "reading", unit="img", leave=False, disable=None, delay=2)
        for file, image in zip(bar, prepared_ahead(self._prepare, self._files, 2 * self._batch_size, self._workers)):
            if isinstance(image, UserError):
                if not self._skip:
                    raise image
                self.skipped.add(file)
                continue
            batch.append(image)
            if len(batch) == self._batch_size:
                yield self._stack(batch)
                batch = []
        if batch:
            yield self._stack(batch)

    def _prepare(self, file: str) -> Tensor | UserError:
        try:
            return torch.from_numpy(self._resize(read_picture(file)).copy())
        except UserError as error:
            return error

    def _stack(self, batch: list[Tensor]) -> dict[str, Tensor]:
        return {"images": torch.stack(batch).to(self._device).permute(0, 3, 1, 2).float()}
