"""Files are written completely or not at all."""

import os
import stat
import threading

import faiss
import numpy as np
import pytest
import torch

from fastreid_gdnorm.disk import replacing, write_text

from .conftest import small_files


def by_numpy(part):
    with open(part, "wb") as stream:
        np.savez(stream, features=np.zeros(2**16))


def by_faiss(part):
    index = faiss.IndexFlatIP(64)
    index.add(np.zeros((2**11, 64), np.float32))
    faiss.write_index(index, str(part))


def by_torch(part):
    torch.save({"model": torch.zeros(2**16)}, part)


@pytest.mark.parametrize("write", [by_numpy, by_faiss, by_torch])
def test_a_failed_write_leaves_the_file_unchanged_and_the_error_names_it(write, tmp_path):
    file = tmp_path / "output"
    file.write_text("before")
    failing = pytest.raises(OSError, match="File too large: '.*/output'")
    with small_files(2**16), failing, replacing(file) as part:
        write(part)
    assert file.read_text() == "before" and os.listdir(tmp_path) == ["output"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_leaves_nothing_behind(error, tmp_path):
    def write():
        with replacing(tmp_path / "output") as part:
            part.write_text("half")
            raise error

    with pytest.raises(error):
        write()
    assert not os.listdir(tmp_path)


def test_two_writers_of_one_file_do_not_mix(tmp_path):
    with replacing(tmp_path / "output") as first, replacing(tmp_path / "output") as second:
        first.write_text("first")
        second.write_text("second")
    assert (tmp_path / "output").read_text() == "first" and os.listdir(tmp_path) == ["output"]


def test_permissions_links_and_devices_are_kept(tmp_path):
    file, link, pipe = tmp_path / "file", tmp_path / "link", tmp_path / "pipe"
    write_text(file, "before")
    file.chmod(0o640)
    link.symlink_to("file")
    write_text(link, "after")
    assert link.is_symlink() and file.read_text() == "after" and stat.S_IMODE(file.stat().st_mode) == 0o640

    os.mkfifo(pipe)
    received = []
    reader = threading.Thread(target=lambda: received.append(pipe.read_text()), daemon=True)
    reader.start()
    write_text(pipe, "to the reader")
    reader.join(10)
    assert received == ["to the reader"] and pipe.is_fifo()


def test_a_folder_in_the_files_place_is_an_error_before_anything_is_written(tmp_path):
    with pytest.raises(IsADirectoryError), replacing(tmp_path):
        pytest.fail("started writing")
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(NotADirectoryError, match="/file/output'"):
        write_text(file / "output", "")
