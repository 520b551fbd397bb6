import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from picodet.data.jpeg import is_cut_off

PICTURE = np.random.default_rng(0).integers(0, 255, (40, 40, 3)).astype(np.uint8)
PLAIN = cv2.imencode(".jpg", PICTURE)[1].tobytes()
PROGRESSIVE = cv2.imencode(".jpg", PICTURE, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
RESTARTS = cv2.imencode(".jpg", PICTURE, [cv2.IMWRITE_JPEG_RST_INTERVAL, 1])[1].tobytes()
# a whole thumbnail in the header, as cameras put it there
LENGTH = (len(PLAIN) + 2).to_bytes(2, "big")
THUMBNAIL = PLAIN[:2] + b"\xff\xe1" + LENGTH + PLAIN + PLAIN[2:]
KINDS = [PLAIN, PROGRESSIVE, RESTARTS, THUMBNAIL]


@pytest.mark.parametrize("jpeg", KINDS)
def test_whole_ones(jpeg):
    assert not is_cut_off(jpeg)
    assert not is_cut_off(jpeg + b"a film behind the picture \xff\xda")
    assert not is_cut_off(jpeg[:2] + b"\xff\x01" + jpeg[2:])  # TEM, which has no length


@given(st.sampled_from(KINDS), st.floats(0, 1))
def test_cut_ones(jpeg, share):
    assert is_cut_off(jpeg[: 2 + int(share * (len(jpeg) - 4))])


def test_other_files_are_not_its_business():
    assert not is_cut_off(b"\x89PNG")
