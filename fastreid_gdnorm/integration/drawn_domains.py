"""The seam at fast-reid's registry of data sets, which is a list of names: RenderedDraw<seed> has no end."""

from fastreid.data.datasets import DATASET_REGISTRY

from ..rendered import drawn_domain_of


def connect():
    """Let every ``RenderedDraw<seed>`` and ``RenderedSmallDraw<seed>`` be a registered data set."""
    DATASET_REGISTRY._obj_map = _WithDrawn(DATASET_REGISTRY._obj_map)


class _WithDrawn(dict):
    """{name: reader}; that of a drawn domain is made when it is asked for, and never listed before."""

    def __missing__(self, name):
        reader = drawn_domain_of(name)
        if reader is None:
            raise KeyError(name)
        self[name] = reader
        return reader

    def get(self, name, default=None):
        try:
            return self[name]
        except KeyError:
            return default

    def __contains__(self, name):
        return super().__contains__(name) or drawn_domain_of(name) is not None
