"""Patch of fast-reid's version."""

from importlib.metadata import version

import fastreid


def test_fastreid_names_its_installed_version():
    assert fastreid.__version__ == version("fastreid")
