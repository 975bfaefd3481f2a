"""Identity, camera and time are read only from names that follow a known pattern."""

import pytest

from fastreid_gdnorm.image_names import camera_of, official


@pytest.mark.parametrize(
    "name, identity, camera, time",
    [
        ("0002_c1s1_000451_03.jpg", "0002", "1", "s1_000451"),  # Market-1501
        ("-1_c6s4_000401_12.JPG", "-1", "6", "s4_000401"),
        ("12345_c10s1_000451_03.png", "12345", "10", "s1_000451"),  # longer numbers
        ("0005_c2_f0046985.jpg", "0005", "2", "f0046985"),  # DukeMTMC-reID
    ],
)
def test_names_of_market_1501_and_dukemtmc_reid_are_read(name, identity, camera, time):
    assert official(f"/1999_c3s1_000000_00/{name}").groupdict() == {
        "identity": identity,
        "camera": camera,
        "time": time,
    }


@pytest.mark.parametrize(
    "name",
    ["20240501_c2_153000.jpg", "20240501_c2s1_153000_01.jpg", "12345_c0ffee.jpg", "2024_c1.jpg", "0930_c2_153000.jpg"]
    + ["0002_c1s1_000451.jpg", "0002_c1s1_000451_03 (1).jpg", "x0002_c1s1_000451_03.jpg", "2_c1s1_000451_03.jpg"]
    # of other data sets
    + ["0000_000_01_0303morning_0015_0.jpg", "0003_c2_27.png", "1_001_1_01.png", "p11422_s16929_1.jpg"]
    + ["0005_c2_f0046985_2.jpg", "0005_c2_f469.jpg", "-1_c2_f0046985.jpg"],
)
def test_other_names_are_not_read(name):
    assert official(name) is None


def test_cameras_are_read_from_looser_names_in_market_1501s_style():
    assert [camera_of(f"/data/7_c{rest}.jpg") for rest in ("2", "02_x", "2s1_1", "12-3")] == ["2", "2", "2", "12"]
    assert [camera_of(name) for name in ("12345_c0ffee.jpg", "0000_000_01_x.jpg", "7_c2x.jpg")] == ["", "", ""]
