"""A config and its _BASE_ are files, not URLs."""

import re

import pytest
from fastreid.config import get_cfg

from fastreid_gdnorm.errors import UserError

from ..runs.toy import one_line

URLS = ["http://127.0.0.1:9/base.yml", "https://127.0.0.1:9/base.yml", "ftp://127.0.0.1:9/base.yml"]


@pytest.mark.parametrize("url", URLS)
def test_a_url_is_refused_as_a_config_and_as_any_base(tmp_path, url):
    (tmp_path / "base.yml").write_text(f"_BASE_: {url}")
    (tmp_path / "run.yml").write_text("_BASE_: base.yml")
    for config in (url, tmp_path / "base.yml", tmp_path / "run.yml"):
        with pytest.raises(UserError, match=f"{url} is a URL: download the config"):
            get_cfg().merge_from_file(str(config))


def test_a_base_may_be_an_absolute_path(tmp_path):
    (tmp_path / "base.yml").write_text("SOLVER:\n  MAX_EPOCH: 7")
    (tmp_path / "run.yml").write_text(f"_BASE_: {tmp_path / 'base.yml'}")
    cfg = get_cfg()
    cfg.merge_from_file(str(tmp_path / "run.yml"))
    assert cfg.SOLVER.MAX_EPOCH == 7


def test_the_command_refuses_a_url_in_one_line(tmp_path, fastreid_here):
    (tmp_path / "run.yml").write_text(f"_BASE_: {URLS[0]}")
    line = one_line(fastreid_here("train", "--config-file", tmp_path / "run.yml"))
    assert re.search(f"run.yml: {URLS[0]} is a URL: download the config", line), line
