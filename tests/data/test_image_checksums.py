import os

from picodet.data.image_checksums import (
    BLOCK_BYTES,
    UNKNOWN_CHECKSUM,
    ImageChecksum,
    describe_change,
    image_checksum,
)


def test_the_content_counts_and_not_the_time(tmp_path):
    path = tmp_path / "x.jpg"
    path.write_bytes(b"123456789")
    assert image_checksum(path) == ImageChecksum(9, 0xCBF43926)  # CRC-32's own check value
    os.utime(path, (1, 1))
    assert image_checksum(path) == ImageChecksum(9, 0xCBF43926)
    path.write_bytes(b"123456780")
    assert image_checksum(path).crc != 0xCBF43926
    path.write_bytes(bytes(BLOCK_BYTES) + b"1")
    assert image_checksum(path).size == BLOCK_BYTES + 1


def test_what_is_no_file_is_unknown(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "pipe")
    for name in ("", "absent", "loop", "pipe"):
        assert image_checksum(tmp_path / name) == UNKNOWN_CHECKSUM


def test_a_difference_in_words():
    one, other = ImageChecksum(1234, 5), ImageChecksum(1235, 255)
    assert (
        describe_change(one, one)
        == describe_change(one, UNKNOWN_CHECKSUM)
        == describe_change(UNKNOWN_CHECKSUM, one)
        == ""
    )
    expected = "had 1,234 bytes with checksum 00000005, has 1,235 with 000000ff"
    assert describe_change(one, other) == expected
