"""Tables of the site as Markdown, generated from the data of the package, without torch."""

import ast
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from picodet.training.recipes.display import markdown as recipe_rows
from picodet.training.recipes.official import RECIPES
from picodet.zoo.official import OFFICIAL, OfficialModel

ROOT = Path(__file__).parents[2]
COUNTS = ROOT / "tests/golden/counts.json"  # tensors and parameters of ppdet's models
CLAIMS = ROOT / "docs/verification.yml"
USUAL = "mAP 0.5:0.95", "COCO val2017"  # metric and dataset of most APs


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; vertical bars inside cells are escaped."""
    lines = [header, ["---"] * len(header), *rows]
    cells = [[cell.replace("|", r"\|") for cell in line] for line in lines]
    return "".join(f"| {' | '.join(line)} |\n" for line in cells)


def models() -> str:
    """The official models, one table per group, as `picodet list` shows them."""
    counts = json.loads(COUNTS.read_text())
    header = ("name", "input", "classes", "parameters", "AP", "weights")
    parts = []
    for group in dict.fromkeys(official.group for official in OFFICIAL):
        some = [official for official in OFFICIAL if official.group == group]
        rows = [_model(official, counts[official.config.name]["parameters"]) for official in some]
        parts.append(f"### {group}\n\n{table(header, rows)}")
    return "\n".join(parts)


def _model(official: OfficialModel, parameters: int) -> tuple[str, ...]:
    size = official.config.input_size
    usual = (official.metric, official.measured_on) == USUAL
    on = "" if usual else f" ({official.metric} on {official.measured_on})"
    urls = (("[.pdparams]", official.url), ("[folder]", official.folder_url))
    weights = ", ".join(f"{text}({url})" for text, url in urls if url)
    return (
        f"`{official.config.name}`",
        "-" if size is None else f"{size[0]} x {size[1]}",
        str(len(official.config.classes)),
        f"{parameters / 1e6:.2f} M",
        "-" if official.ap is None else f"{official.ap:.1f}{on}",
        weights or "none published",
    )


def recipes() -> str:
    """The official recipes, one row each."""
    return recipe_rows(RECIPES.values())


def claims() -> list[dict[str, Any]]:
    """The content of docs/verification.yml: groups of rows of claim, number, command and tests."""
    content: list[dict[str, Any]] = yaml.safe_load(CLAIMS.read_text())
    return content


def verification() -> str:
    """The verified claims and their tests, one table per group."""
    header = ("claim", "number", "by")
    parts = []
    for group in claims():
        rows = [
            (
                " ".join(row["claim"].split()),
                " ".join(row.get("number", "").split()),
                ", ".join(f"`{name}`" for name in (*row["tests"], *row.get("commands", ()))),
            )
            for row in group["rows"]
        ]
        parts.append(f"## {group['group']}\n\n{table(header, rows)}")
    return "\n".join(parts)


def modules() -> str:
    """The modules of each folder of the package, with the summary of their docstrings."""
    package = ROOT / "picodet"
    parts = []
    for folder in sorted({path.parent for path in package.rglob("*.py")}):
        paths = [path for path in sorted(folder.glob("*.py")) if _summary(path)]
        if paths:
            rows = [(f"`{path.name}`", _summary(path)) for path in paths]
            name = folder.relative_to(ROOT).as_posix()
            parts.append(f"### `{name}/`\n\n{table(('module', 'what it is'), rows)}")
    return "\n".join(parts)


def errors() -> str:
    """The exceptions of picodet/errors.py, whose causes a user can fix."""
    tree = ast.parse((ROOT / "picodet/errors.py").read_text())
    rows = [
        (f"`{node.name}`", ", ".join(f"`{ast.unparse(base)}`" for base in node.bases), _first(node))
        for node in tree.body
        if isinstance(node, ast.ClassDef)
    ]
    return table(("class", "is a", "meaning"), rows)


def _first(node: ast.ClassDef) -> str:
    return " ".join((ast.get_docstring(node) or "").split("\n\n")[0].split())


def _summary(path: Path) -> str:
    """The first paragraph of a module's docstring; its first sentence, if that is long."""
    text = ast.get_docstring(ast.parse(path.read_text())) or ""
    return next(_sentences(" ".join(text.split("\n\n")[0].split())), "")


def _sentences(text: str) -> Iterator[str]:
    end = text.find(". ")
    if text:
        yield text if end < 0 else text[: end + 1]


TABLES: dict[str, Callable[[], str]] = {
    "errors": errors,
    "models": models,
    "modules": modules,
    "recipes": recipes,
    "verification": verification,
}
