"""What a training shows while it runs."""

from picodet.training import showing


def test_memory_is_told_where_somebody_counts_it(monkeypatch):
    monkeypatch.setattr(showing, "peak_memory", lambda: 3 << 29)
    assert showing.memory_used("cpu") == ", 1.5 GiB"
    monkeypatch.setattr(showing, "peak_memory", lambda: None)
    assert showing.memory_used("cpu") == ""
