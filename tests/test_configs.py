"""Every config in the tree loads and builds its model; those of protocols are what their table says."""

import pytest
from fastreid.modeling.meta_arch import build_model

from fastreid_gdnorm.layers import GaussianProcess
from fastreid_gdnorm.paper.config_files import config_texts
from fastreid_gdnorm.paper.directions import Direction
from fastreid_gdnorm.runs.methods import METHODS, method
from fastreid_gdnorm.runs.run_config import flat, load_config

from .conftest import DEMO, REPOSITORY

CONFIGS = sorted([*REPOSITORY.glob("configs/**/*.yml"), *REPOSITORY.glob("projects/**/*.yml")])


@pytest.fixture(scope="module")
def branches():
    """A function that builds a config's network and gives its layers' numbers of branches; identical networks once."""
    built = {}

    def build(cfg):
        network = cfg.MODEL.dump() + str(len(cfg.DATASETS.NAMES))
        if network not in built:
            model = build_model(cfg)
            layers = GaussianProcess(model).layers if cfg.MODEL.META_ARCHITECTURE.startswith("GDNorm") else {}
            built[network] = {layer.num_domains for layer in layers.values()}
        return built[network]

    return build


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_it_builds(path, branches):
    without_teachers = ["KD.MODEL_CONFIG", "[]", "KD.MODEL_WEIGHTS", "[]"]
    overrides = ["MODEL.BACKBONE.PRETRAIN", "False", "MODEL.HEADS.NUM_CLASSES", "10", *without_teachers]
    cfg = load_config(str(path), overrides)
    expected = {len(cfg.DATASETS.NAMES)} if cfg.MODEL.META_ARCHITECTURE.startswith("GDNorm") else set()
    assert branches(cfg) == expected


GDNORM = [path for path in CONFIGS if path.name == "gdnorm.yml"]
IMAGES_OF_AN_IDENTITY = {
    "DGCUHK02": 4,
    "DGCUHKSYSU": 3,
    "DGCUHK03": 9,
}  # of the sets with few; from the counts in DATASETS.md


@pytest.mark.parametrize("path", GDNORM, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_every_source_has_four_identities_in_a_batch_and_few_copies_and_balanced_differs_in_the_branches_alone(path):
    cfg = load_config(str(path))
    images, instances = cfg.SOLVER.IMS_PER_BATCH, cfg.DATALOADER.NUM_INSTANCE
    assert images // instances // len(cfg.DATASETS.NAMES) >= 4
    fewest = min(IMAGES_OF_AN_IDENTITY.get(name, 16) for name in cfg.DATASETS.NAMES)
    assert instances - fewest <= fewest, "no more copies of an identity's images than images"

    balanced = load_config(str(path.parent / "balanced.yml"))
    differing = [key for key, value in flat(cfg) if dict(flat(balanced))[key] != value]
    assert sorted(differing) == ["MODEL.BACKBONE.NAME", "MODEL.META_ARCHITECTURE", "OUTPUT_DIR"]


def test_the_configs_of_protocols_are_what_make_configs_writes():
    written = {path.relative_to(REPOSITORY).as_posix(): path.read_text() for path in CONFIGS}
    expected = dict(config_texts())
    assert [path for path, text in expected.items() if written.get(path) != text] == [], "run make configs"
    by_hand = ("configs/", f"{DEMO}/", "projects/GDNorm/configs/own-data")
    others = [path for path in written.keys() - expected.keys() if not path.startswith(by_hand)]
    assert others == [], "not in fastreid_gdnorm/paper/variants.py"


PROTOCOLS = REPOSITORY / "projects/GDNorm/configs"
# {folder: (directions, COMBINEALL, SIZE_TRAIN, CUHK03.BOXES, MSMT17.VERSION)}; projects/GDNorm/DATASETS.md says why
LEAVE_ONE_OUT = {"D+C3+MT->M", "M+C3+MT->D", "M+D+MT->C3", "M+D+C3->MT"}
WITHOUT_DUKE = {"C3+MT+CS->M", "M+MT+CS->C3", "M+C3+CS->MT"}
PAIRS = {"M->D+C3+MT", "D->M+C3+MT", "C3->M+D+MT", "MT->M+D+C3"}
OURS, LIKE_META = ([384, 128], "detected", "V1"), ([256, 128], "labeled", "V2")
DATA = {
    "protocol1": ({"M+D+C2+C3+CS->V+P+G+I"}, True, *OURS),
    "protocol1/without-duke": ({"M+C2+C3+CS->V+P+G+I"}, True, *OURS),
    "protocol1/256x128": ({"M+C2+C3+CS->V+P+G+I"}, True, *LIKE_META),
    "protocol2": (LEAVE_ONE_OUT, False, *OURS),
    "protocol2/all-images": (LEAVE_ONE_OUT, True, *OURS),
    "protocol2/cuhk-sysu": (WITHOUT_DUKE, False, *OURS),
    "protocol2/256x128": (WITHOUT_DUKE, False, *LIKE_META),
    "protocol3": (WITHOUT_DUKE, True, *OURS),
    "protocol3/256x128": (WITHOUT_DUKE, True, *LIKE_META),
    "pairs": (PAIRS, False, *OURS),
    "pairs/256x128": (PAIRS, False, [256, 128], "detected", "V1"),
}


@pytest.mark.parametrize("folder", DATA)
def test_a_protocol_trains_and_tests_on_what_papers_say(folder):
    directions, *settings = DATA[folder]
    place = PROTOCOLS / folder
    found = {}
    for path in [*place.glob("*.yml"), *place.glob("to-*/*.yml"), *place.glob("from-*/*.yml")]:
        cfg = load_config(path)
        data = cfg.DATASETS
        assert settings == [data.COMBINEALL, cfg.INPUT.SIZE_TRAIN, data.CUHK03.BOXES, data.MSMT17.VERSION]
        assert cfg.INPUT.SIZE_TEST == cfg.INPUT.SIZE_TRAIN
        assert f"logs/{path.relative_to(PROTOCOLS).with_suffix('')}" == cfg.OUTPUT_DIR
        found.setdefault(method(cfg), set()).add(str(Direction.of(cfg)))
    names = {"baseline"} if folder.startswith("pairs") else set(METHODS)
    assert found == dict.fromkeys(names, directions)


def test_the_bases_are_section_4_2_of_the_paper():
    for name in ("baseline", "GDNorm"):
        cfg = load_config(f"configs/Base-{name}.yml")
        backbone, heads, solver = cfg.MODEL.BACKBONE, cfg.MODEL.HEADS, cfg.SOLVER
        assert (backbone.DEPTH, backbone.LAST_STRIDE, backbone.PRETRAIN) == ("50x", 1, True)
        assert (heads.POOL_LAYER, heads.WITH_BNNECK) == ("GeneralizedMeanPoolingP", True)
        assert cfg.INPUT.SIZE_TRAIN == cfg.INPUT.SIZE_TEST == [384, 128]
        # GDNorm shares the paper's 8 identities x 16 images among its sources, as 16 x 8
        assert (8 * 16, 16 if name == "baseline" else 8) == (solver.IMS_PER_BATCH, cfg.DATALOADER.NUM_INSTANCE)
        assert cfg.INPUT.FLIP.ENABLED and cfg.INPUT.PADDING.ENABLED and cfg.INPUT.CJ.ENABLED and solver.AMP.ENABLED
        assert (solver.MAX_EPOCH, solver.BASE_LR, solver.STEPS, solver.GAMMA) == (60, 3.5e-4, [40], 0.1)
        assert (solver.WEIGHT_DECAY, solver.WEIGHT_DECAY_NORM, solver.WARMUP_ITERS) == (5e-4, 5e-4, 0)
        assert set(cfg.MODEL.LOSSES.NAME) == {"CrossEntropyLoss", "TripletLoss"}
    assert (cfg.MODEL.GDNORM.LAMBDA, cfg.MODEL.GDNORM.NOISE, cfg.MODEL.GDNORM.NUM_PATHS) == (0.6, "variance", 1)
    assert (cfg.DATALOADER.SAMPLER_TRAIN, cfg.SOLVER.HOOKS) == ("DomainBalancedIdentitySampler", ("DomainPreciseBN",))


def test_a_run_from_before_early_gradients_is_read():
    cfg = load_config("configs/Base-GDNorm.yml", ["MODEL.GDNORM.RECOMPUTE", "True"], has_data_sets=False)
    assert cfg.MODEL.GDNORM.EARLY_GRADIENTS and "RECOMPUTE" not in cfg.MODEL.GDNORM
