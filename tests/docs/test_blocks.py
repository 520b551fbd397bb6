from textwrap import dedent

import pytest

from scripts.docs.pages import MARKER, Step, blocks, matches

PAGE = """\
# A page

<!-- run, exit 1 -->
```console
$ first --option \\
    more
> no, this is the second line of a command
printed

$ python -c "
> print(1)"
> what is printed may begin so
```

<!-- not run: no time -->

```sh
anything
```

```python
unmarked
```
"""


@pytest.fixture
def found(tmp_path):
    (tmp_path / "page.md").write_text(PAGE)
    return list(blocks(tmp_path / "page.md"))


def test_commands_and_what_they_print(found):
    console, *_ = found
    assert (console.line, console.language) == (4, "console")
    assert (console.is_run, console.exit_code, console.is_compared) == (True, 1, True)
    assert console.steps() == [
        Step(
            "first --option \\\n    more\nno, this is the second line of a command", ("printed", "")
        ),
        Step('python -c "\nprint(1)"\nwhat is printed may begin so'),
    ]


def test_markers(found):
    _, script, unmarked = found
    assert (script.is_run, script.steps()) == (False, [Step("anything\n")])
    assert unmarked.marker is None
    assert not unmarked.is_run
    assert MARKER.fullmatch("<!-- run, output not compared: other weights -->")
    for wrong in ("<!-- run: -->", "<!-- not run -->", "<!-- not run: -->", "<!-- ran -->"):
        assert not MARKER.fullmatch(wrong)


PRINTED = dedent(
    """
    read      x.pth
    ─────────────
    time      0.31 s
    batches   80   configs/picodet/a.yml
    written   out
    """
)


@pytest.mark.parametrize(
    "shown",
    [
        (),
        ("..",),
        ("read   x.pth", "..", "written out"),
        ("time 12.0 s",),
        ("───", "batches 80 configs/pico.."),
    ],
)
def test_lines_that_are_printed(shown):
    assert matches(shown, PRINTED) is None


@pytest.mark.parametrize(
    ("shown", "first"),
    [
        (("read x.pth", "nothing"), "nothing"),
        (("written out", "read x.pth"), "read x.pth"),
        (("time s",), "time s"),
    ],
)
def test_lines_that_are_not(shown, first):
    assert matches(shown, PRINTED) == first
