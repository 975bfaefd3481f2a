"""The way that ``fastreid adapt`` takes without ``--by``, and the reason that it gives."""

import pytest


@pytest.mark.parametrize(
    "config, sources, said",
    [
        ("gdnorm", ("RenderedMall", "RenderedStreet"), "adapting by norms, because this run has branches"),
        ("gdnorm", ("RenderedMall",), "adapting by features, because this run has only one source, and norms need two"),
        ("baseline", ("RenderedMall",), "adapting by features, because this model has no branches"),
    ],
)
def test_the_reason_is_that_of_the_model(config, sources, said, tiny, datasets, tmp_path, fastreid_here):
    run = tmp_path / "model"
    run.mkdir()
    (run / "config.yaml").write_text(tiny(config, "DATASETS.NAMES", str(sources)).dump())
    done = fastreid_here("adapt", "--model", run, datasets / "RenderedStation/query", "--output", tmp_path / "site")
    assert said in done.stdout
    assert done.returncode == 2 and "has no checkpoint" in done.stderr
