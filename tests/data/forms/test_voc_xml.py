import time

import pytest

from picodet.data.forms.voc_xml import MAX_BYTES, read_voc_xml

BOMB = "".join(f'<!ENTITY e{i + 1} "{f"&e{i};" * 10}">' for i in range(9))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (f'<!DOCTYPE a [<!ENTITY e0 "x">{BOMB}]><annotation>&e9;</annotation>', "DOCTYPE"),
        (
            '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><annotation>&x;</annotation>',
            "DOCTYPE",
        ),
        ("<annotation>&lol;</annotation>", "not XML: undefined entity"),
        ('<?xml version="1.0" encoding="klingon"?><annotation/>', "not XML: unknown encoding"),
        ("<html/>", "found <html>; expected <annotation>"),
        ("", "not XML"),
        ("<annotation>" + " " * MAX_BYTES, "more than 2,000,000 bytes"),
    ],
)
def test_what_is_refused(tmp_path, text, problem):
    path = tmp_path / "x.xml"
    path.write_text(text)
    start = time.process_time()
    with pytest.raises(ValueError, match=problem):
        read_voc_xml(path, lambda problem: None)
    assert time.process_time() - start < 1
