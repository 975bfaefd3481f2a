"""Lets stock fastreid 1.4.0 import and run on today's Python, torch and NumPy, on CPU and CUDA, without forking it.

A patch that changes what fastreid does looks for its defect first, so a fork or a release without the defect is left
alone; one that only adds (a clear error) wraps whatever is there. Each file can be deleted by itself when upstream has
mended what it mends: it imports no other patch, and nothing of the plugin but its errors and layers. What is broken:

=====================  ======================================================================================
imports                ``collections.Mapping`` (fast-reid PRs 713, 747), ``torch._six`` (PR 692)
configs                the file and its ``_BASE_`` may be URLs: what a run does then depends on a server
device                 the default ``MODEL.DEVICE`` is CUDA even on machines without it (issues 97, 485, 684)
loader                 ``DataLoaderX`` needs CUDA (issues 97, 485, 684) and hangs after an unreadable image, which the
                       error does not name
data sets              the error about a missing one does not mention ``FASTREID_DATASETS``
optimizer              today's ``zero_grad`` cuts off the flat buffers that it steps: nothing is trained; a resumed
                       run counts ``FREEZE_ITERS`` from its own start
tests                  afterwards all of the model is in training mode, also what was frozen
trainer                AMP without CUDA fails in mid-run; no ``OUTPUT_DIR`` is made
images                 palettes are read as their indices, transparent, CMYK and 16-bit ones not at all;
                       ``preprocess_image`` normalises the batch in place: twice, if the model is called twice;
                       ``INPUT.AFFINE`` takes arguments that torchvision has renamed
half precision         distances between features of norm 256 overflow, and a clamp hides it; a loss that overflows
                       ends the run, although GradScaler would skip the step
checkpoints            written straight over the last good one; any code in them is run
ranking                compiled by any ``python3``, with an exit if that fails (issue 387); ``np.bool``; an error
                       where a gallery has fewer than 50 images; re-ranking needs CUDA
events                 the last test's results do not reach ``metrics.json``; a division by zero in a resumed run
                       of two iterations
several processes      the trainer tells ``DistributedDataParallel`` a CUDA device and has ``SyncBatchNorm``, also on
                       a CPU; MobileNetV2 and others make a part of their BN without asking NORM, so syncBN is partial
RegNet, EffNet         look for their YAML files relative to the working directory
pool layer Flatten     fails for features in channels-last order
pretrained weights     any code in them is run; no hash is checked; a broken download stays in the cache and is
                       loaded again; ResNet's own are tar archives, which torch >= 2.6 refuses
version                the release 1.4.0 says 1.3 of itself in logs
=====================  ======================================================================================
"""

import collections
import collections.abc
import contextlib
import importlib.util
import sys
import types

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
    ddp.patch_ddp,
    ddp.patch_hard_coded_norms,
    data.patch_data_sets,
    training.patch_optimizer,
    freezing.patch_freezing,
    freezing.patch_modes,
    training.patch_trainer,
    training.patch_preprocessing,
    training.patch_events,
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


def apply_patches():
    """Import fastreid and apply every patch to it, once.

    Raises:
        ImportError: fastreid is not installed.
    """
    if importlib.util.find_spec("fastreid") is None:
        raise ImportError("fastreid_gdnorm needs fast-reid: pip install --no-deps fastreid==1.4.0")
    with _removed_names():
        import fastreid.engine  # noqa: F401  all of the toolbox
    for patch in PATCHES:
        patch()


@contextlib.contextmanager
def _removed_names():
    """``collections.Mapping`` and ``torch._six`` exist within it, for the import alone."""
    mapping_is_gone = not hasattr(collections, "Mapping")
    if mapping_is_gone:
        collections.Mapping = collections.abc.Mapping
    sys.modules["torch._six"] = types.ModuleType("torch._six")
    sys.modules["torch._six"].string_classes = (str, bytes)
    try:
        yield
    finally:
        if mapping_is_gone:
            del collections.Mapping
        del sys.modules["torch._six"]
