"""The public interface: what is in it, and the names that it had before."""

import pytest

import fastreid_gdnorm.layers
from fastreid_gdnorm.layers.distributed import all_ranks


def test_old_names_of_layers_go_on_working():
    with pytest.warns(DeprecationWarning, match=r"layers\.everywhere is now .*\.layers\.distributed\.all_ranks"):
        assert fastreid_gdnorm.layers.everywhere is all_ranks
    with pytest.raises(AttributeError, match="no attribute nothing"):
        fastreid_gdnorm.layers.nothing  # noqa: B018
