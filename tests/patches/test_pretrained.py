"""Pretrained weights: damaged and dangerous files, the cache, and broken downloads."""

import contextlib
import hashlib
import io
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import gdown
import pytest
import torch
from fastreid.config import get_cfg
from fastreid.modeling.backbones import build_backbone, mobilenetv3, osnet, resnest, resnet
from fastreid.modeling.backbones.regnet import regnet
from torchvision import models

from fastreid_gdnorm.errors import UserError
from fastreid_gdnorm.runs.run_config import shipped

from .dangerous import Dangerous, ran

# builder: (depth, state dict -> what the builder takes as PRETRAIN_PATH)
BACKBONES = {
    "resnet": ("18x", dict),
    "resnest": ("50x", dict),
    "resnext": ("50x", lambda state: {"model": {f"module.encoder.{key}": value for key, value in state.items()}}),
    "osnet": ("x0_25", dict),
    "mobilenetv2": ("0.1x", dict),
    "mobilenetv3": ("Small", dict),
    "shufflenetv2": ("0.5x", lambda state: {"state_dict": state}),
    "repvgg": ("A0", dict),
    "vit": ("small", dict),
    "regnet": ("200x", dict),
    "effnet": ("b0", lambda state: {"model_state": state}),
}
PRETRAIN_PATH = "MODEL.BACKBONE.PRETRAIN_PATH"


def build(name, depth=None, pretrain=True, path=""):
    cfg = get_cfg()
    cfg.MODEL.BACKBONE.NAME, cfg.MODEL.BACKBONE.DEPTH = f"build_{name}_backbone", depth or BACKBONES[name][0]
    cfg.MODEL.BACKBONE.PRETRAIN, cfg.MODEL.BACKBONE.PRETRAIN_PATH = pretrain, str(path)
    return build_backbone(cfg)


def same(model, state):
    return all(torch.equal(state[key], value) for key, value in model.state_dict().items())


def saved(content):
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


LARGE = ("vit", "resnest", "resnext")


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.long] * (name in LARGE)) for name in BACKBONES])
def test_a_good_file_is_loaded_and_a_bad_one_named(name, tmp_path):
    weights = build(name, pretrain=False).state_dict()
    good = saved(BACKBONES[name][1](weights))
    (tmp_path / "good").write_bytes(good)
    assert same(build(name, path=tmp_path / "good"), weights)

    bad = {"danger": saved({"model": Dangerous()}), "cut": good[:-500], "text": b"no weights", "empty": b""}
    for file, content in bad.items():
        (tmp_path / file).write_bytes(content)
        with pytest.raises(UserError, match=f"{file} is damaged or holds more than weights.*{PRETRAIN_PATH}"):
            build(name, path=tmp_path / file)
    assert not ran
    (tmp_path / "foreign").write_bytes(saved([1]))
    with pytest.raises(UserError, match=f"{tmp_path / 'foreign'} does not fit build_{name}_backbone.*{PRETRAIN_PATH}"):
        build(name, path=tmp_path / "foreign")
    with pytest.raises(FileNotFoundError, match=f"nowhere' does not exist.*{PRETRAIN_PATH}"):
        build(name, path=tmp_path / "nowhere")


def test_weights_of_another_depth_and_an_unknown_depth_give_different_errors(tmp_path):
    torch.save(build("osnet", "x0_5", pretrain=False).state_dict(), tmp_path / "half.pth")
    with pytest.raises(UserError, match="half.pth does not fit build_osnet_backbone .*size mismatch"):
        build("osnet", path=tmp_path / "half.pth")
    with pytest.raises(KeyError, match="x9"):
        build("osnet", "x9", path=tmp_path / "half.pth")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty TORCH_HOME, without proxies."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("no_proxy", "*")
    return tmp_path / "torch"


@contextlib.contextmanager
def serving(content, cut=0):
    """The URL of a server that sends ``content`` for every path and closes ``cut`` bytes before its end."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) - cut])

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


def files_in(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


def named(content):
    return f"weights-{hashlib.sha256(content).hexdigest()[:8]}.pth"


# the ways to download: (builder, its module, key of model_urls, name of the file, folder of the cache)
WAYS = {
    "with its hash": ("resnet", resnet, "18x", named, "checkpoints"),
    "without": ("regnet", regnet, "800y", lambda content: "RegNetX-1.6GF_dds_8gpu.pyth", "checkpoints"),
    "to another name": ("osnet", osnet, "osnet_x0_25", lambda content: "uc?id=1", "checkpoints"),
    "by torch.hub": ("resnest", resnest, "resnest50", named, "hub/checkpoints"),
    "by torchvision": ("mobilenetv3", mobilenetv3, "Small", named, "hub/checkpoints"),
}


@pytest.fixture(params=WAYS)
def way(request):
    name, module, key, file_name, folder = WAYS[request.param]
    depth = key if name == "regnet" else None  # of the least that has a URL
    weights = build(name, depth, pretrain=False).state_dict()
    content = saved({"model_state": weights} if name == "regnet" else weights)
    return name, depth, weights, content, file_name(content), folder, lambda url: (module.model_urls, key, url)


def test_a_download_is_kept_and_used_again_without_the_network(way, cache, monkeypatch):
    name, depth, weights, content, file, folder, url = way
    with serving(content) as server:
        monkeypatch.setitem(*url(server + file))
        assert same(build(name, depth), weights)
    assert same(build(name, depth), weights)
    (kept,) = files_in(cache)
    assert kept.parent == cache / folder and kept.read_bytes() == content


def test_an_interrupted_download_leaves_nothing(way, cache, monkeypatch):
    name, depth, _, content, file, _, url = way
    with serving(content, cut=1000) as server:
        monkeypatch.setitem(*url(server + file))
        with pytest.raises(UserError, match=f"{server}.*{PRETRAIN_PATH}"):
            build(name, depth)
    assert not files_in(cache)
    with pytest.raises(UserError, match=f"cannot download {server}.*{PRETRAIN_PATH}"):  # the server is gone
        build(name, depth)


def test_a_download_that_would_run_code_leaves_nothing(way, cache, monkeypatch):
    name, depth, *_, url = way
    content = saved({"model_state": Dangerous()})
    with serving(content) as server:
        monkeypatch.setitem(*url(server + named(content)))
        with pytest.raises(UserError, match=f"the download from {server}.* is damaged or holds more than weights"):
            build(name, depth)
    assert not files_in(cache) and not ran


def test_a_cached_file_with_another_hash_is_named_and_not_used(way, cache, monkeypatch):
    name, depth, _, content, _, folder, url = way
    (cache / folder).mkdir(parents=True)
    file = f"weights-{'0' * 8}.pth"
    with serving(content) as server:
        monkeypatch.setitem(*url(server + file))
        with pytest.raises(UserError, match=rf"cannot download .*{file} \(invalid hash value"):
            build(name, depth)
        assert not files_in(cache)
    if name != "osnet":  # which is cached under a name without the hash
        (cache / folder / file).write_bytes(content)
        with pytest.raises(UserError, match=f"{cache / folder / file} is damaged or not the published one.*delete it"):
            build(name, depth)


def test_gdown_downloads_from_google_drive_and_a_truncated_file_is_not_kept(cache, monkeypatch):
    weights = build("osnet", pretrain=False).state_dict()
    content, asked = saved(weights), []

    def download(url, output, quiet):
        asked.append(url)
        with open(output, "wb") as file:
            file.write(content[:-1000] if len(asked) == 1 else content)

    monkeypatch.setattr(gdown, "download", download)
    with pytest.raises(UserError, match="the download from https://drive.google.com/.* is damaged"):
        build("osnet")
    assert not files_in(cache)
    assert same(build("osnet"), weights) and same(build("osnet"), weights)
    assert asked == [osnet.model_urls["osnet_x0_25"]] * 2
    assert gdown.download is download


@pytest.mark.parametrize("depth", [18, 34, 50, 101])
def test_resnet_weights_are_torchvisions_newer_files(depth):
    published = getattr(models, f"ResNet{depth}_Weights").IMAGENET1K_V1.url
    assert resnet.model_urls[f"{depth}x"] == published


def test_the_projects_own_weights_match_their_record_and_are_found_from_any_folder(tmp_path, monkeypatch):
    folder = shipped("projects/GDNorm/weights")
    record = json.loads((folder / "start.json").read_text())
    content = (folder / record["file"]).read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    assert digest == record["sha256"] and f"-{digest[:8]}." in record["file"]
    monkeypatch.chdir(tmp_path)
    backbone = build("mobilenetv2", "0.5x", path=f"projects/GDNorm/weights/{record['file']}")
    weights = torch.load(folder / record["file"], weights_only=True)
    assert all(torch.equal(weights[key].to(value), value) for key, value in backbone.state_dict().items())
    own = tmp_path / record["file"]
    own.write_bytes(content[:-1] + b"x")
    with pytest.raises(UserError, match="is damaged or not the published one"):
        build("mobilenetv2", "0.5x", path=own)
