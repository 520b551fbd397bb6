"""The site is built strictly, without network and torch, and loads nothing from elsewhere."""

import re
import subprocess
import sys

import pytest

from scripts.docs.pages import ROOT

BUILD = """
import socket, sys
def refused(*_, **__): raise OSError("the site is built without network")
socket.create_connection = socket.getaddrinfo = refused
sys.modules["torch"] = None
from mkdocs.__main__ import cli
cli(["build", "--strict", "--quiet", "--site-dir", sys.argv[1]])
"""
LOADED = re.compile(
    r"<(?:script|img|iframe|source)\b[^>]*\bsrc=\"?(https?:[^\" >]+)"
    r"|<link\b(?=[^>]*\brel=\"?(?:stylesheet|icon|preconnect|preload))"
    r"[^>]*\bhref=\"?(https?:[^\" >]+)"
)


@pytest.mark.slow
def test_the_site_is_built_and_loads_nothing_from_elsewhere(tmp_path):
    for needed in ("mkdocs", "material", "mkdocstrings", "mkdocs_click"):
        pytest.importorskip(needed, reason="the tools of `make docs`")
    site = tmp_path / "site"
    done = subprocess.run(
        [sys.executable, "-c", BUILD, str(site)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    pages = [path for path in site.rglob("*.html") if path.name != "404.html"]
    assert len(pages) == len(list((ROOT / "docs").rglob("*.md")))
    for path in pages:
        text = path.read_text()
        assert not LOADED.findall(text), path
        assert "<!-- run" not in text
        assert "<!-- generated" not in text


def test_what_is_loaded_is_seen():
    assert LOADED.search('<script async src="https://x/y.js">')
    assert LOADED.search('<link href="https://x/y.css" rel="stylesheet">')
    assert not LOADED.search('<a href="https://x/y">')
