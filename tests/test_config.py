"""The plugin's keys are added to configs that lack them, and can be removed again."""

from fastreid.config import get_cfg

from fastreid_gdnorm.config import completed, remove_gdnorm_config


def test_missing_keys_are_added_and_existing_values_kept():
    cfg = get_cfg()
    assert completed(cfg) is cfg
    del cfg.SOLVER["HOOKS"], cfg.MODEL.GDNORM["TEST_PATH"]
    cfg.MODEL.GDNORM.LAMBDA, cfg.MODEL.OWN = 0.3, 7
    cfg.freeze()
    whole = completed(cfg)
    assert (whole.SOLVER.HOOKS, whole.MODEL.GDNORM.TEST_PATH) == ((), "mean") and whole.is_frozen()
    assert (whole.MODEL.GDNORM.LAMBDA, whole.MODEL.OWN) == (0.3, 7)
    assert "HOOKS" not in cfg.SOLVER and "TEST_PATH" not in cfg.MODEL.GDNORM
    stock = get_cfg()
    for _ in range(2):
        remove_gdnorm_config(stock)
    assert "SEED" not in stock and completed(stock) == get_cfg()
