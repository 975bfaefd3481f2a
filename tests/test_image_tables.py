"""Tables of images are read as spreadsheets and databases write them."""

import time

import pytest

from fastreid_gdnorm.errors import UserError
from fastreid_gdnorm.image_tables import SEPARATORS, Row, read_table
from fastreid_gdnorm.inference.records import Record, find_images


@pytest.mark.parametrize("separator", SEPARATORS, ids=SEPARATORS.values())
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_separators_quotes_bom_and_empty_lines(tmp_path, separator, newline):
    lines = [
        ["identity", " path ", '"camera"', "split", "track", "time", "domain"],
        ["7", "a.jpg", "1", "train", "", "", "mall"],
        [],
        ['"Smith, J; 1\t|"', '"b ""2"".jpg"', "gate", "query", "9", "09:30", ""],
        ["", "", "", "", "", "", ""],
        ["-1", "/tmp/c.jpg", "", "gallery", "", "", ""],
        ["-1.0", "d.jpg", "", "gallery", "", "", ""],
    ]
    text = newline.join(map(separator.join, lines))
    (tmp_path / "t.tsv").write_bytes(f"\ufeff{text}{newline}".encode())
    a, b, c, d = read_table(f"{tmp_path}/t.tsv")
    assert a[:-1] == (f"{tmp_path}/a.jpg", "1", "", "7", "train", "", "mall")
    assert b[:-1] == (f'{tmp_path}/b "2".jpg', "gate", "09:30", "Smith, J; 1\t|", "query", "9", "")
    assert c == Row("/tmp/c.jpg", split="gallery", place=f"table {tmp_path}/t.tsv, line 6"), "nobody's image"
    assert d.identity == "", "nobody, as pandas writes it into a column with empty fields"

    records = find_images([f"{tmp_path}/t.tsv"])
    assert records[0] == Record(a.path, "1", "", "mall 7"), "7 of another domain is another person"
    assert records[1] == Record(b.path, "gate", "09:30", "Smith, J; 1\t|")


def test_100_000_rows_take_less_than_5_seconds(tmp_path):
    rows = (f"crops/{n // 20}/{n}.jpg,{n // 20},cam{n % 7},train,{n // 5},{n}" for n in range(100_000))
    (tmp_path / "t.csv").write_text("\n".join(["path,identity,camera,split,track,time", *rows]))
    started = time.process_time()
    assert len(read_table(f"{tmp_path}/t.csv")) == 100_000
    assert time.process_time() - started < 5


def test_lines_that_contradict_each_other_are_found_however_their_paths_are_written(tmp_path):
    (tmp_path / "t.csv").write_text("path,identity\na.jpg,7\n./a.jpg,8\n")
    with pytest.raises(UserError, match="lines 2 and 3 contradict each other about ./a.jpg"):
        read_table(f"{tmp_path}/t.csv")


def test_an_unknown_column_is_named_with_all_that_can_be_there(tmp_path):
    (tmp_path / "t.csv").write_text("path;person\na.jpg;7\n")
    with pytest.raises(UserError, match="columns path, person; it must have path and can have camera, time, identity,"):
        read_table(f"{tmp_path}/t.csv")
