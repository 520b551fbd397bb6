"""Commands in README.md and in the pages: run, or marked as not run; with options that exist."""

import re
import shlex

import click
import pytest

from picodet.cli import main
from scripts.docs.pages import LANGUAGES, ROOT, SHELL, blocks, matches, pages, prose

PAGES = pages()
RUN = [page for page in PAGES if any(block.is_run for block in blocks(page))]
OTHERS = {  # options of other programs
    *("--index-url", "--no-deps", "--nproc_per_node", "--nnodes", "--strict"),
    *("--onnx", "--saveEngine", "--minShapes", "--optShapes", "--maxShapes"),
}
PROGRAM = re.compile(r"picodet(?:-(convert|detect|align|eval|export|train))?")


def name_of(page):
    return str(page.relative_to(ROOT))


def placed(block):
    return f"{name_of(block.page)}:{block.line}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_block_of_commands_says_whether_it_is_run(page):
    unmarked = [
        placed(block)
        for block in blocks(page)
        if block.language in LANGUAGES and block.marker is None
    ]
    assert not unmarked


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_page_says_what_it_needs(page):
    text = page.read_text()
    if page.parent.name in ("how-to", "explanation", "reference"):
        assert re.search(r"^# .+\n\n\*\*Needs:\*\* ", text)


@pytest.mark.slow
@pytest.mark.parametrize("page", RUN, ids=name_of)
def test_commands_do_what_the_page_says(page, stand_ins, tmp_path):
    run = [block for block in blocks(page) if block.is_run]
    shell = stand_ins.shell(tmp_path, "".join(block.text for block in run))
    for block in run:
        steps = block.steps()
        for step in steps:
            expected = block.exit_code if step is steps[-1] else 0
            code, printed = shell.run(step.command, block.language)
            shown = f"{placed(block)}\n$ {step.command}\n{printed}"
            assert code == expected, shown
            if block.is_compared:
                missing = matches(step.output, printed)
                assert missing is None, f"not printed: {missing}\n{shown}"


def options_of(command):
    return {name for param in command.params for name in (*param.opts, *param.secondary_opts)}


def all_options(command=main):
    """Options of a command and of its subcommands."""
    found = options_of(command) | {"--help"}
    if isinstance(command, click.Group):
        found.update(*map(all_options, command.commands.values()))
    return found


def words_of(text):
    """The words of each command line in a shell script."""
    for line in text.replace("\\\n", " ").splitlines():
        try:
            words = shlex.split(line, comments=True)
        except ValueError:  # a quote that goes on in the next line: Python, no command of ours
            continue
        start = 0
        for end, word in enumerate([*words, ";"]):
            if word in ("|", "||", "&&", ";"):
                yield words[start:end]
                start = end + 1


def wrong_options(words):
    """Options in these words that the picodet command does not have."""
    starts = [i for i, word in enumerate(words) if PROGRAM.fullmatch(word)]
    if not starts or words[0] == "pip":
        return []
    first = starts[0]
    named = PROGRAM.fullmatch(words[first])[1]
    command, rest = main, words[first + 1 :]
    for word in [named, *rest] if named else rest:
        if not isinstance(command, click.Group) or word not in command.commands:
            break
        command = command.commands[word]
    if isinstance(command, click.Group) and "compare" in command.commands:
        command = command.commands["compare"]  # of align, where no subcommand is named
    known = all_options(command)
    given = [word.split("=")[0] for word in rest if word.startswith("--")]
    return [f"{' '.join(words[first:][:3])} .. {option}" for option in given if option not in known]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_options_in_command_lines_exist(page):
    texts = [
        "\n".join(step.command for step in block.steps())
        for block in blocks(page)
        if block.language in SHELL
    ]
    spans = re.findall(r"`([^`]+)`", prose(page))
    texts += [" ".join(span.split()) for span in spans if PROGRAM.match(span)]
    wrong = [each for text in texts for words in words_of(text) for each in wrong_options(words)]
    assert not wrong


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_options_that_are_named_exist(page):
    """A span such as `--score-thr 0.4`; of any command, or of a script of ours."""
    spans = re.findall(r"`(--[\w-]+)", prose(page))
    own = all_options() | OTHERS
    scripts = "".join(
        path.read_text()
        for folder in ("benchmarks", "examples", "scripts")
        for path in (ROOT / folder).rglob("*.py")
    )
    assert not [span for span in spans if span not in own and f'"{span}"' not in scripts]


def test_files_that_pages_name_exist():
    """Paths of this repository in pages: modules, tests, scripts, recipes."""
    named = re.compile(
        r"(?<![\w./-])((?:picodet|tests|scripts|examples|benchmarks)/[\w./-]+\.(?:py|yml|npz))"
    )
    missing = {
        f"{name_of(page)}: {path}"
        for page in PAGES
        for path in named.findall(page.read_text())
        if not (ROOT / path).exists()
    }
    assert not missing


def test_readme_is_short_and_its_images_are_absolute():
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 250
    images = re.findall(r'src="([^"]+)"|!\[[^]]*\]\(([^)]+)\)', text)
    assert all("".join(image).startswith("https://") for image in images)
