"""Readers of the public data sets of the protocols, for training and testing."""

from .cuhk02 import DGCUHK02
from .cuhk03 import DGCUHK03
from .cuhk_sysu import DGCUHKSYSU
from .grid import DGGRID
from .ilids import DGiLIDS
from .market_style import DGDukeMTMC, DGMarket1501, MarketStyle
from .msmt17 import DGMSMT17
from .prid import DGPRID
from .reader import Reader
from .single_shot import SingleShot, Split
from .viper import DGVIPeR

READERS = (
    DGMarket1501,
    DGDukeMTMC,
    DGCUHK02,
    DGCUHK03,
    DGCUHKSYSU,
    DGMSMT17,
    DGVIPeR,
    DGPRID,
    DGGRID,
    DGiLIDS,
)

__all__ = ["READERS", "MarketStyle", "Reader", "SingleShot", "Split", *(reader.__name__ for reader in READERS)]
