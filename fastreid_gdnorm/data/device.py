"""Where a loader leaves its batches."""


def on_device(loader, cfg):
    """A DataLoaderX whose batches stay on the CPU if MODEL.DEVICE is there, also on a machine with CUDA."""
    if cfg.MODEL.DEVICE == "cpu":
        loader.stream = None
    return loader
