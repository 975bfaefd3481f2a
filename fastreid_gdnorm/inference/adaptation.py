"""Turn a site's images into posterior paths, for the site and for each camera: ``fastreid adapt --by norms``."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import torch
from torch import Tensor

from ..console import progress
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
from .unlabelled import draw

CHECKED = 64  # images, of those of a path, to assess it with and compare with the sources, which takes six passes


class Adapted(NamedTuple):
    """A posterior path and the file that holds it.

    Args:
        file: where the path is saved.
        path: the path itself.
        given: number of images that its images were drawn from.
        reliability: how far the path can be trusted.
        branches: mean weight of each source's branch, by how near the images are to it; the weights add up to 1.
    """

    file: Path
    path: PosteriorPath
    given: int
    reliability: Reliability
    branches: list[float]


class Adapter:
    """Estimate posterior paths for a run's model.

    Args:
        model: a run's folder. A model without branches gets one for each source; this needs the source images.
        device: "cpu", "cuda" or "cuda:N"; by default CUDA if available.
        batch_size: number of images in a forward pass. If a path's images do not fit into one, it takes a pass per BN
            layer.
        workers: number of threads that read images.

    Attributes:
        cfg: the run's config, with branches in every BN layer.
        model: the model built from ``cfg``.

    Raises:
        UserError: ``model`` is not a run or has only one source, or its branches cannot be estimated because the
            source images are missing.
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
            raise UserError(
                f"{model}: --by norms needs two or more sources to estimate how domains differ, and this run has "
                f"{sources}; adapt --by features"
            )
        self.cfg.MODEL.GDNORM.TEST_PATH = "ensemble"  # loading then estimates the statistics of new branches
        self.model = load_model(self.cfg)
        if branches_agree(self.model):
            raise UserError(
                f"{model}: all branches have the same statistics, so they do not show how domains differ; adapt "
                "--by features"
            )
        self._checkpoint = digest(self.cfg.MODEL.WEIGHTS)
        self._resize = resizing(self.cfg)
        self._batch_size, self._workers = batch_size, workers

    def adapt(
        self,
        records: Sequence[Record],
        file: Path,
        prior_only: Sequence[str] = (),
        skip: bool = False,
        alive: Callable[[], object] = lambda: None,
    ) -> Adapted:
        """Estimate the posterior path of these images and write it to ``file``.

        Args:
            records: any number of images, of which :func:`draw` takes a sample.
            prior_only: patterns of names of layers that keep the sources' statistics.
            skip: leave out unreadable images instead of raising.
            alive: called before every forward pass of the path.

        Raises:
            UserError: fewer than two images can be read, an image is unreadable and ``skip`` is False, a pattern in
                ``prior_only`` matches no layer, or the network outputs NaN or infinity.
        """
        files, images = self._read(draw(records), skip)
        size = min(CHECKED, self._batch_size, len(images))
        places = [place * len(images) // size for place in range(size)]
        checked = images[places]
        nearness = NearnessPath()
        with torch.no_grad():
            features = forward_along(self.model.eval(), {"images": checked}, nearness)
        unusable = (~features.isfinite().all(dim=1)).nonzero()
        if len(unusable):
            raise not_finite(files[places[int(unusable[0])]], self.cfg.MODEL.WEIGHTS)
        try:
            path = PosteriorPath.from_images(self.model, _Batches(images, self._batch_size, alive), prior_only)
        except ValueError as error:
            raise UserError(f"--prior-only-layers: {error}") from error
        reliability = assess(self.model, checked, path)
        numbers = [values for layer in path.layers.values() for values in layer]
        if not all(bool(values.isfinite().all()) for values in numbers) or not math.isfinite(reliability.repeatability):
            raise not_finite("these images", self.cfg.MODEL.WEIGHTS)
        save_posterior(file, PosteriorFile(path, self._checkpoint, image_digests(files)))
        return Adapted(file, path, len(records), reliability, nearness.weights().mean(0).tolist())

    def _read(self, records: Sequence[Record], skip: bool) -> tuple[list[str], Tensor]:
        """The files that can be read, and their images (n, 3, H, W)."""
        read: dict[str, Tensor] = {}
        files = [record.path for record in records]
        for file, image in zip(files, prepared_ahead(self._prepare, files, len(files), self._workers)):
            if not isinstance(image, UserError):
                read[file] = image
            elif not skip:
                raise image
        if len(read) < 2:
            raise UserError(
                "a posterior path needs at least two readable images to estimate how images vary, better 64; got "
                f"{len(read)}"
            )
        images = torch.stack([*read.values()]).to(self.cfg.MODEL.DEVICE)
        return [*read], images.permute(0, 3, 1, 2).float()

    def _prepare(self, file: str) -> Tensor | UserError:
        try:
            return torch.from_numpy(self._resize(read_picture(file)).copy())
        except UserError as error:
            return error


class SitePaths(NamedTuple):
    """The posterior path of a whole site, and one for each camera with at least two images."""

    whole: Adapted
    cameras: dict[str, Adapted]

    def by_name(self) -> dict[str, Adapted]:
        """All paths, keyed by their names in messages and figures."""
        return {"site": self.whole, **{f"camera {camera}": adapted for camera, adapted in self.cameras.items()}}


def adapt_site(
    adapter: Adapter,
    records: Sequence[Record],
    cameras: Mapping[str, Sequence[Record]],
    folder: Path,
    prior_only: Sequence[str] = (),
    skip: bool = False,
    figure: Callable[[Path, SitePaths], object] | None = None,
    learn: Callable[[Path], dict[str, Any]] | None = None,
) -> SitePaths:
    """Write a site's posterior path, and one for each camera with two or more images, into ``folder``.

    ``posterior:FOLDER`` reads the result. At the end it replaces the files of an earlier adaptation, which that
    adaptation's adapt.json lists.

    Args:
        records: the site's images.
        cameras: the images of each camera that gets its own path.
        prior_only, skip: see :meth:`Adapter.adapt`.
        figure: called with a file name and the paths; it draws FIGURE.
        learn: called with the folder once the paths are written; it adds camera offsets and returns their entry in
            adapt.json.

    Raises:
        UserError: see :func:`~fastreid_gdnorm.site_files.check_output` and :meth:`Adapter.adapt`.
    """
    several = {camera: images for camera, images in cameras.items() if len(images) > 1}
    check_output(folder, [SITE, FIGURE, *map(_file_of, several), *[OFFSETS] * bool(learn)])
    with in_place_of(folder, written_files(folder)) as part:
        with progress("adapting", 1 + len(several), "paths") as advance:

            def adapted_to(images: Sequence[Record], name: str) -> Adapted:
                adapted = adapter.adapt(images, part / name, prior_only, skip, lambda: advance(0))
                advance(1)
                return adapted._replace(file=folder / name)

            whole = adapted_to(records, SITE)
            adapted = {}
            for camera, images in several.items():
                name = _file_of(camera)
                if len(images) < len(records):
                    adapted[camera] = adapted_to(images, name)
                else:  # the site's only camera
                    shutil.copy(part / SITE, part / name)
                    adapted[camera] = whole._replace(file=folder / name)
        site = SitePaths(whole, adapted)
        if figure:
            figure(part / FIGURE, site)
        summary: dict[str, Any] = {
            **_summary_of(whole),
            "branches": whole.branches,
            "cameras": {camera: _summary_of(path) for camera, path in adapted.items()},
        }
        write_summary(part, summary)
        if learn:
            write_summary(part, {**summary, "offsets": learn(part)})
    return site


def _file_of(camera: str) -> str:
    return f"camera-{quote(camera, safe='')}.npz"


def _summary_of(adapted: Adapted) -> dict[str, Any]:
    """A path's entry in adapt.json."""
    guard = {**adapted.reliability._asdict(), "trusts": adapted.reliability.is_sufficient}
    return {"file": adapted.file.name, "n": adapted.path.images, "given": adapted.given, "guard": guard}


class _Batches:
    """Batches {"images": (B, 3, H, W)} of images in memory; ``alive`` is called whenever one is taken."""

    def __init__(self, images: Tensor, batch_size: int, alive: Callable[[], object]) -> None:
        self._batches, self._alive = images.split(batch_size), alive

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        for images in self._batches:
            self._alive()
            yield {"images": images}
