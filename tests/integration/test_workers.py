"""Data sets in worker processes that are spawned."""

import copy
import pickle

import pytest
from fastreid.data import CommDataset, build_reid_test_loader

from ..patches.test_imports import python


def test_spawned_worker_processes_are_patched_too(tiny, tmp_path):
    loader, _ = build_reid_test_loader(tiny(), dataset_name="RenderedStation")
    (tmp_path / "dataset.pkl").write_bytes(pickle.dumps(loader.dataset))
    code = "import pickle, sys; print(len(pickle.load(open(sys.argv[1], 'rb'))))"
    done = python(code, tmp_path / "dataset.pkl")
    assert done.stdout.strip() == str(len(loader.dataset)), done.stderr


class WithState(CommDataset):
    """Pickles only its items: it may hold an open file."""

    def __getstate__(self):
        return {"img_items": self.img_items}

    def __setstate__(self, state):
        self.__init__(state["img_items"])
        self.restored = "by its state"


class WithReduce(CommDataset):
    def __reduce__(self):
        return _make, (self.img_items,), {"extra": 1}


def _make(items):
    data = WithReduce(items)
    data.restored = "by its function"
    return data


class Plain(CommDataset):
    restored = "as in stock"


@pytest.mark.parametrize("kind", [Plain, WithState, WithReduce])
@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda data: pickle.loads(pickle.dumps(data))])
def test_a_data_set_is_pickled_as_its_class_defines(kind, copied):
    data = kind([("a.jpg", "x", 1), ("b.jpg", "y", 2)])
    if kind is not WithReduce:
        data.file = (lambda: 0) if kind is WithState else data.img_items  # a lambda cannot be pickled
    again = copied(data)
    assert type(again) is kind and again.img_items == data.img_items and again.pid_dict == {"x": 0, "y": 1}
    assert again.restored == {Plain: "as in stock", WithState: "by its state", WithReduce: "by its function"}[kind]
    assert (kind is Plain) == hasattr(again, "file") and (kind is WithReduce) == hasattr(again, "extra")
    assert b"fastreid_gdnorm.integration.workers" in pickle.dumps(data), "a worker must import the plugin first"
