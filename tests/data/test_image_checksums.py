import os

from picodet.data.image_checksums import BLOCK, UNKNOWN, ImageSum, difference, image_sum


def test_the_content_counts_and_not_the_time(tmp_path):
    path = tmp_path / "x.jpg"
    path.write_bytes(b"123456789")
    assert image_sum(path) == ImageSum(9, 0xCBF43926)  # CRC-32's own check value
    os.utime(path, (1, 1))
    assert image_sum(path) == ImageSum(9, 0xCBF43926)
    path.write_bytes(b"123456780")
    assert image_sum(path).crc != 0xCBF43926
    path.write_bytes(bytes(BLOCK) + b"1")
    assert image_sum(path).size == BLOCK + 1


def test_what_is_no_file_is_unknown(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "pipe")
    for name in ("", "absent", "loop", "pipe"):
        assert image_sum(tmp_path / name) == UNKNOWN


def test_a_difference_in_words():
    one, other = ImageSum(1234, 5), ImageSum(1235, 255)
    assert difference(one, one) == difference(one, UNKNOWN) == difference(UNKNOWN, one) == ""
    said = "had 1,234 bytes with checksum 00000005, has 1,235 with 000000ff"
    assert difference(one, other) == said
