"""Repairs stock fast-reid 1.4.0, without a fork: it imports, trains and tests on today's Python, torch and NumPy.

===================  =================================================  ===============================================
file                 what is broken in stock fast-reid                  what the patch does
===================  =================================================  ===============================================
``__init__``         ``import fastreid`` fails, because Python no       provides both during the import only
                     longer has ``collections.Mapping`` and torch no
                     longer has ``torch._six`` (PRs 692, 713, 747)

``config_urls``      a URL as a config, or as its ``_BASE_``, is        says to download the config
                     opened like a file

``data``             ``MODEL.DEVICE`` is CUDA by default, also on       makes the CPU the default there
                     machines without CUDA (issues 97, 485, 684)
                     ``DataLoaderX`` needs CUDA (the same issues)       leaves batches on the CPU
                     after an unreadable image, loading hangs           raises the error, which names the image
                     palette images are read as palette indices;        reads every image as RGB
                     transparent, CMYK and 16-bit images fail
                     ``INPUT.AFFINE`` uses arguments that torchvision   uses their new names
                     has renamed
                     the error for a missing data set does not say      names ``FASTREID_DATASETS``
                     where fast-reid looks for it

``training``         ``zero_grad`` sets gradients to None, so the       sets them to zero
                     optimizer steps detached buffers: nothing is
                     trained
                     AMP without CUDA fails at the first step           refuses it before training
                     ``OUTPUT_DIR`` is not created                      creates it
                     ``preprocess_image`` normalises in place: twice    normalises a copy
                     if the model is called twice
                     the last test is missing from ``metrics.json``     writes it
                     a resumed run of two iterations divides by zero    skips the division

``freezing``         a resumed run starts ``FREEZE_ITERS`` again        keeps the count in the checkpoint
                     after a test, frozen BN trains                     restores the mode of every layer

``precision``        in half precision, distances between features of   computes distances in float32
                     norm 256 overflow, and a clamp hides it
                     a loss that overflows ends the run, although       skips the step and restores the running
                     GradScaler would skip the step                     statistics; 20 in a row end the run

``ddp``              several processes need CUDA                        trains on CPUs too
                     with ``NORM`` syncBN, MobileNetV2 and others       synchronises all of it
                     synchronise only part of their BN

``checkpoint_io``    a checkpoint is written over the last good one     replaces it once the new one is complete
                     loading a checkpoint runs any code in it           loads only tensors and plain values
                     the neck and the classifier of checkpoints of      renames them
                     earlier releases, such as the model zoo's, have
                     other names and are left out (issues 427, 486)

``pretrained``       loading pretrained weights runs any code in them   loads only tensors and plain values
                     no hash is checked                                 checks the hash in the file's name
                     a broken download stays in the cache               keeps complete downloads only
                     the ResNet files are tar archives, which           downloads torchvision's newer files of the
                     torch >= 2.6 refuses                               same weights

``evaluation``       ranking is compiled for the first ``python3`` on   compiles for the running Python; if that fails,
                     PATH; if that fails, the process exits (issue      ranks in Python
                     387)
                     ranking uses ``np.bool``, which NumPy removed      uses ``bool``
                     a gallery of fewer than 50 images is an error      ranks it
                     re-ranking needs CUDA                              searches on the CPU without it

``models``           RegNet and EffNet look for their YAML files in     looks in the installed package
                     the working directory
                     ``POOL_LAYER`` Flatten fails for channels-last     works for any order
                     features

``version``          logs of release 1.4.0 say that it is 1.3           logs the installed version
===================  =================================================  ===============================================

The docstring of a patch states the defect that it repairs.

A patch that changes behaviour looks for its defect first, so a fork or a later release without the defect keeps its own
code. A patch that only explains an error wraps whatever code is there.

Once upstream has repaired what a file repairs, delete the file and its lines here. The files do not import each other.
From the plugin they import only basic modules: ``layers``, ``errors``, ``disk``, ``image_loading`` and ``_version``.
"""

from __future__ import annotations

import collections
import collections.abc
import contextlib
import importlib.util
import sys
import types
from collections.abc import Iterator

from . import (
    checkpoint_io,
    config_urls,
    data,
    ddp,
    evaluation,
    freezing,
    models,
    precision,
    pretrained,
    training,
    version,
)

PATCHES = (
    config_urls.patch_config,
    data.patch_device,
    data.patch_loader,
    data.patch_prefetch,
    data.patch_images,
    data.patch_affine,
    data.patch_data_sets,
    ddp.patch_ddp,
    ddp.patch_hard_coded_norms,
    training.patch_optimizer,
    training.patch_trainer,
    training.patch_preprocessing,
    training.patch_events,
    freezing.patch_freezing,
    freezing.patch_modes,
    precision.patch_distances,
    precision.patch_amp,
    checkpoint_io.patch_checkpoints,
    evaluation.patch_compiling,
    evaluation.patch_reranking,
    evaluation.patch_rank,
    models.patch_regnet,
    models.patch_flatten,
    pretrained.patch_pretrained,
    version.patch_version,
)


def apply_patches() -> None:
    """Import fast-reid and apply every patch. Call it once.

    Raises:
        ImportError: fast-reid is not installed.
    """
    if importlib.util.find_spec("fastreid") is None:
        raise ImportError("fastreid_gdnorm needs fast-reid: pip install --no-deps fastreid==1.4.0")
    with _removed_names():
        import fastreid.engine  # noqa: F401  imports all of fast-reid
    for patch in PATCHES:
        patch()


@contextlib.contextmanager
def _removed_names() -> Iterator[None]:
    """Inside the block, ``collections.Mapping`` and ``torch._six`` exist."""
    mapping_is_gone = not hasattr(collections, "Mapping")
    if mapping_is_gone:
        vars(collections)["Mapping"] = collections.abc.Mapping
    six = sys.modules["torch._six"] = types.ModuleType("torch._six")
    vars(six)["string_classes"] = (str, bytes)
    try:
        yield
    finally:
        if mapping_is_gone:
            del vars(collections)["Mapping"]
        del sys.modules["torch._six"]
