from pathlib import Path

import pytest

from picodet.alignment.recording.index import PreprocessingSettings
from picodet.alignment.reference.request import RecordRequest

SETTINGS = PreprocessingSettings((320, 416), 1, (0.5, 0.25, 0.0), (1.0, 2.0, 3.0))
FULL = RecordRequest(
    Path("a b/ü.pdparams"), Path("/o"), Path("p.png"), None, (320, 416), True, 16, SETTINGS
)
BARE = RecordRequest(Path("a"), Path("o"), None, Path("x.npy"), None, False, 0)


@pytest.mark.parametrize("order", [FULL, BARE])
def test_to_another_process_and_back(order):
    assert RecordRequest.from_json(order.to_json()) == order
