"""Versions and CPU in reports."""

import platform

import pytest

from picodet.system import versions


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("model name\t: AMD EPYC\nflags\t\t: fpu sse4_2 avx2\n", "AMD EPYC, AVX2"),
        ("model name: Xeon\nflags: sse4_2 avx2 avx512f\nmodel name: 2\n", "Xeon, AVX-512"),
        ("model name: Atom\nflags: sse4_2 noavx2\n", "Atom, SSE4.2"),
        ("Features: asimd\n", platform.machine()),
    ],
)
def test_a_cpu_is_its_name_and_its_best_instructions(tmp_path, monkeypatch, text, expected):
    (tmp_path / "cpuinfo").write_text(text)
    monkeypatch.setattr(versions, "CPUINFO", tmp_path / "cpuinfo")
    assert versions.cpu() == expected


def test_where_there_is_no_cpuinfo(tmp_path, monkeypatch):
    monkeypatch.setattr(versions, "CPUINFO", tmp_path / "none")
    assert versions.cpu() == platform.machine()
