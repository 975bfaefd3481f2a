"""Pictures of every kind are read correctly or refused in one line."""

import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fastreid_gdnorm.errors import UserError
from fastreid_gdnorm.image_loading import crops, list_pictures, read_picture

HEIGHT, WIDTH = 12, 8
RAMP = np.linspace(0, 255, HEIGHT * WIDTH).round().astype(np.uint8).reshape(HEIGHT, WIDTH)
COLOURS = np.stack([RAMP, RAMP[::-1], np.full_like(RAMP, 90)], axis=2)
GREY = np.repeat(RAMP[..., None], 3, axis=2)


def write(path, image, **options):
    image.save(path, **options)
    return path


@pytest.fixture
def unprivileged(tmp_path):
    """A folder, with the effective user changed from root to one whom permissions restrict."""
    if os.geteuid():
        yield tmp_path
        return
    with tempfile.TemporaryDirectory() as folder:
        os.chown(folder, 65534, 65534)
        os.seteuid(65534)
        yield Path(folder)
        os.seteuid(0)


@pytest.fixture
def written(tmp_path):
    """{kind: (file, expected pixels)}."""
    colours, grey = Image.fromarray(COLOURS), Image.fromarray(RAMP)
    upside_down = Image.Exif()
    upside_down[0x0112] = 3
    flat = Image.fromarray(np.full((HEIGHT, WIDTH, 3), (200, 40, 90), np.uint8))
    inks = flat.convert("CMYK")
    return {
        "png": (write(tmp_path / "a.png", colours), COLOURS),
        "bmp": (write(tmp_path / "a.bmp", colours), COLOURS),
        "grey": (write(tmp_path / "grey.png", grey), GREY),
        "black and white": (write(tmp_path / "bw.png", grey.convert("1", dither=0)), np.where(GREY < 128, 0, 255)),
        "16 bits": (write(tmp_path / "16.png", Image.fromarray(RAMP.astype(np.uint16) * 257)), GREY),
        "palette": (write(tmp_path / "p.png", flat.convert("P", palette=Image.Palette.ADAPTIVE)), np.asarray(flat)),
        "transparent": (write(tmp_path / "rgba.png", colours.convert("RGBA")), COLOURS),
        "CMYK": (write(tmp_path / "cmyk.tif", inks), np.asarray(flat)),
        "CMYK JPEG": (write(tmp_path / "cmyk.jpg", inks, quality=100), np.asarray(flat)),
        "rotated": (write(tmp_path / "exif.png", colours, exif=upside_down), COLOURS[::-1, ::-1]),
        "one pixel": (write(tmp_path / "1.png", colours.crop((0, 0, 1, 1))), COLOURS[:1, :1]),
    }


def test_every_kind_of_file_is_read(written):
    for kind, (file, expected) in written.items():
        found = np.asarray(read_picture(file)).astype(int)
        assert found.shape == expected.shape, kind
        assert np.abs(found - expected).max() <= (3 if "JPEG" in kind else 0), kind


@pytest.mark.parametrize("contents", [b"", b"no picture", b"half"], ids=["empty", "text", "cut short"])
def test_a_file_that_is_not_a_picture_is_named(tmp_path, written, contents):
    file = tmp_path / "broken.jpg"
    file.write_bytes(written["png"][0].read_bytes()[:90] if contents == b"half" else contents)
    with pytest.raises(UserError, match=r"^cannot read image .*broken.jpg [(:].*\)?$"):
        read_picture(file)


def test_a_picture_with_damaged_exif_data_is_read(tmp_path):
    damaged = b"Exif\0\0no header of TIFF"
    assert np.array_equal(read_picture(write(tmp_path / "a.png", Image.fromarray(COLOURS), exif=damaged)), COLOURS)


def test_floating_point_pixels_and_missing_files_are_refused(tmp_path):
    file = write(tmp_path / "f.tif", Image.fromarray(RAMP.astype(np.float32)))
    with pytest.raises(UserError, match=r"f.tif: it has floating-point pixels.*save it with 8 bits"):
        read_picture(file)
    with pytest.raises(UserError, match="cannot read image nowhere.jpg"):
        read_picture("nowhere.jpg")


def test_arrays_are_read_in_rgb_or_bgr_order():
    assert np.array_equal(read_picture(COLOURS), COLOURS)
    assert np.array_equal(read_picture(COLOURS[..., ::-1], "BGR"), COLOURS)
    for wrong in COLOURS / 255, RAMP, COLOURS[:0], np.zeros((4, 4, 4), np.uint8):
        with pytest.raises(UserError, match="an image array"):
            read_picture(wrong)


def test_boxes_are_clipped_to_the_frame():
    boxes = [[1.4, 2.6, 5, 9, 0.9], [-3, -3, 4, 4, 0.5], [6, 10, 99, 99, 0.5], [20, 20, 30, 30, 0.1]]
    first, second, third, outside = crops(COLOURS, np.array(boxes))
    assert np.array_equal(first, COLOURS[3:9, 1:5])
    assert np.array_equal(second, COLOURS[:4, :4])
    assert np.array_equal(third, COLOURS[10:, 6:])
    assert not outside.size


@pytest.mark.parametrize("none", [[], (), np.zeros((0, 4)), np.zeros(0), torch.zeros(0, 6)], ids=str)
def test_a_frame_without_detections_has_no_crops(none):
    assert list_pictures((COLOURS, none)) == list(crops(COLOURS, none)) == []


@pytest.mark.parametrize(
    "boxes", [None, [1, 2, 3, 4], [[1, 2, 3]], [[1, 2], [3]], [[0, np.nan, 4, 4]], [["a"] * 4]], ids=str
)
def test_invalid_boxes_are_refused(boxes):
    with pytest.raises(UserError, match=r"^boxes must be an array \(N, 4 or more\).*; got (None|\[.*\])$"):
        list_pictures((COLOURS, boxes))
    with pytest.raises(UserError, match="no pixels.*outside its frame"):
        read_picture(list_pictures((COLOURS, [[20, 20, 30, 30]]))[0])


def test_linked_folders_are_searched_once_and_files_left_out_are_counted(tmp_path, caplog):
    picture = Image.fromarray(COLOURS)
    for name in "a.JPG", "sub/b.Png", "away/c.jpeg", ".ipynb_checkpoints/d.jpg", "__MACOSX/e.jpg":
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write(tmp_path / name, picture)
    folder = tmp_path / "crops"
    folder.mkdir()
    for name in "a.JPG", "sub", ".ipynb_checkpoints", "__MACOSX":
        (tmp_path / name).rename(folder / name)
    (folder / "linked").symlink_to(tmp_path / "away")
    (folder / "again").symlink_to(folder / "sub")
    (folder / "sub" / "up").symlink_to(tmp_path)
    (tmp_path / "away" / "round").symlink_to(folder)
    for name in "notes.txt", "f.jpg.part", "._a.jpg", "Thumbs.db":
        (folder / name).touch()
    assert list_pictures(folder) == [str(folder / name) for name in ("a.JPG", "linked/c.jpeg", "sub/b.Png")]
    above, others = sorted(caplog.messages)
    assert above == f"{folder}/sub/up links to a folder above it and is not followed"
    assert others.startswith(f"{folder}: left out 2 of 5 files") and others.endswith(f"{folder}/f.jpg.part")


def test_a_folder_that_cannot_be_searched_is_named(unprivileged):
    (unprivileged / "a.jpg").touch()
    (unprivileged / "locked").mkdir(mode=0)
    with pytest.raises(UserError, match="cannot search folder .*/locked .*change its permissions"):
        list_pictures(unprivileged)


def test_every_form_of_images_becomes_a_list(tmp_path, written):
    image = Image.fromarray(COLOURS)
    assert list_pictures("a.png") == ["a.png"] and list_pictures(image) == [image]
    assert len(list_pictures(np.stack([COLOURS] * 3))) == 3
    assert len(list_pictures((COLOURS, np.zeros((5, 4))))) == 5
    assert len(list_pictures((COLOURS, COLOURS))) == 2
    assert list_pictures(tmp_path) == sorted(str(file) for file, _ in written.values())
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="empty has no images"):
        list_pictures(tmp_path / "empty")
    with pytest.raises(UserError, match="got int"):
        list_pictures(3)
