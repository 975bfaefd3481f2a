"""Run stock fast-reid, with only its imports patched, where fastreid_gdnorm cannot be imported.

    python stock_fastreid.py EXPORT ROOT OUTPUT.npz
    python stock_fastreid.py EXPORT CROPS.npy OUTPUT.npz

The first form writes the features and the mAP of ROOT's Market-1501 by the model in EXPORT. It runs in double, so that
a comparison shows the folding, not the rounding of a deep network. The second form writes features, scaled to length
1, of CROPS (N, H, W, 3), 8-bit RGB, passed as a tensor instead of a dictionary, as BoT-SORT does.
"""

import collections.abc
import sys
import types

sys.modules["fastreid_gdnorm"] = None
collections.Mapping = collections.abc.Mapping
try:
    import torch._six  # noqa: F401
except ImportError:
    sys.modules["torch._six"] = types.SimpleNamespace(string_classes=(str, bytes))

import numpy as np  # noqa: E402
import torch  # noqa: E402
from fastreid.config import get_cfg  # noqa: E402
from fastreid.data.common import CommDataset  # noqa: E402
from fastreid.data.datasets.market1501 import Market1501  # noqa: E402
from fastreid.data.transforms import build_transforms  # noqa: E402
from fastreid.evaluation.rank import evaluate_rank  # noqa: E402
from fastreid.modeling.meta_arch import build_model  # noqa: E402
from fastreid.utils.checkpoint import Checkpointer  # noqa: E402

folder, root, output = sys.argv[1:]
cfg = get_cfg()
cfg.merge_from_file(folder + "/config.yaml")
cfg.MODEL.DEVICE = "cpu"
model = build_model(cfg).eval()
Checkpointer(model).load(folder + "/model.pth")
model.double()
if root.endswith(".npy"):
    crops = torch.from_numpy(np.load(root).astype(np.float32).transpose(0, 3, 1, 2))
    with torch.no_grad():
        np.savez(output, features=torch.nn.functional.normalize(model.float()(crops)).numpy())
    sys.exit()
data = Market1501(root)
items = sorted(data.query) + sorted(data.gallery)
images = CommDataset(items, build_transforms(cfg, is_train=False), relabel=False)
with torch.no_grad():
    features = torch.cat([model({"images": images[i]["images"][None].double()}) for i in range(len(images))])
unit = torch.nn.functional.normalize(features, dim=1)
pids, cameras = (np.array([item[i] for item in items]) for i in (1, 2))
n = len(data.query)
distances = (1 - unit[:n] @ unit[n:].T).numpy()
cmc, precisions, _ = evaluate_rank(distances, pids[:n], pids[n:], cameras[:n], cameras[n:])
labels = {"names": [item[0] for item in items], "pids": pids, "cameras": cameras, "num_query": n}
np.savez(output, features=features.numpy(), mAP=100 * np.mean(precisions), **labels)
