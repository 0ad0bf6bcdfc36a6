"""The documents say what is there: verbs, files, links, exit codes, the picture of an order's life, both languages."""

import re
import tomllib
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

import pytest

from actors.system import CLASSES
from core.errors import EXIT_CONFIG, EXIT_FAILURE, EXIT_NOT_RUNNING, EXIT_OK, EXIT_TIMEOUT, EXIT_USAGE
from core.features import N_FEATURES, SEQUENCE, WINDOW
from core.orders import diagram
from core.params import SelectionSettings
from run import CODES, EXIT_INTERRUPTED, EXIT_PIPE_CLOSED, EXIT_TERMINATED, VERBS

ROOT = Path(__file__).resolve().parents[2]
READMES = ("README.md", "README.ko.md")
PAGES = (*READMES, "docs/architecture.md", "CHANGELOG.md", "CONTRIBUTING.md")
ROOMS = ("core", "config", "data", "exchanges", "serve", "tune", "actors", "tests", "docs")
MADE_LATER = {"config/api_keys.json"}
"""Named in the documents, made by the user."""
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PATH = re.compile(rf"(?<![\w/.~-])(?:{'|'.join(ROOMS)})/[\w./-]*\w")
LINK = re.compile(r"\]\(([^)\s]+)\)")
COMMAND = re.compile(r"python3 run\.py((?: +[\w./~=:-]+)*)")


def page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(text: str) -> list[tuple[str, str]]:
    """(language, content) of every fenced block."""
    return FENCE.findall(text)


def prose(text: str) -> str:
    """The text without its fenced blocks."""
    return FENCE.sub("", text)


def headings(text: str) -> list[tuple[int, str]]:
    return [(len(level), title) for level, title in re.findall(r"^(#+) +(.+)$", prose(text), re.MULTILINE)]


def anchor(title: str) -> str:
    """The address GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def commands(text: str) -> Iterator[list[str]]:
    """The words after ``python3 run.py`` wherever it is written."""
    for words in COMMAND.findall(text):
        yield words.split()


def missing_paths(text: str) -> list[str]:
    """Paths into our rooms that a text names and that are not there."""
    return [name for name in PATH.findall(text) if name not in MADE_LATER and not (ROOT / name).exists()]


def broken_links(name: str, text: str) -> list[str]:
    """Links of a page to files, or headings in them, that are not there; those of the web are not followed."""
    found = []
    for target in LINK.findall(prose(text)):
        if "://" in target:
            continue
        file, _, heading = target.partition("#")
        where = (ROOT / name).parent / file if file else ROOT / name
        if not where.exists() or (
            heading and heading not in {anchor(t) for _, t in headings(where.read_text("utf-8"))}
        ):
            found.append(target)
    return found


@pytest.mark.parametrize("name", PAGES)
def test_every_verb_of_a_command_is_one_of_run_py(name: str) -> None:
    used = [words[0] for words in commands(page(name)) if words and words[0].isascii() and not words[0].isupper()]
    assert [verb for verb in used if not verb.startswith("-") and verb not in VERBS] == []


@pytest.mark.parametrize("name", READMES)
def test_every_verb_is_in_the_readme_and_has_its_module(name: str) -> None:
    table = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", page(name), re.MULTILINE)
    told = {verb for cell in table for verb in re.findall(r"`(\w+)`", cell)}
    assert told == set(VERBS)
    for module, _ in VERBS.values():
        assert find_spec(module), f"run.py names {module}, which is not there"


def test_the_options_of_a_command_are_known_to_their_verb() -> None:
    sources = {
        verb: (ROOT / (module.replace(".", "/") + ".py")).read_text("utf-8") for verb, (module, _) in VERBS.items()
    }
    shared = page("config/load.py") + page("data/market_arguments.py") + page("tune/walkforward_command.py")
    shared += page("data/data_command.py") + page("tune/auto/command.py")
    found = [
        f"{words[0]} {word}"
        for name in READMES
        for words in commands(page(name))
        if words and words[0] in VERBS
        for word in words[1:]
        if word.startswith("--") and f'"{word.partition("=")[0]}"' not in sources[words[0]] + shared + '"--help"'
    ]
    assert found == []


@pytest.mark.parametrize("name", PAGES)
def test_every_path_that_is_named_exists(name: str) -> None:
    assert missing_paths(page(name)) == []


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name: str) -> None:
    assert broken_links(name, page(name)) == []


def test_a_wrong_path_or_link_would_be_found() -> None:
    assert missing_paths("see `core/ordres.py`, var/core/none.py and core/orders.py") == ["core/ordres.py"]
    text = "# One\n[a](run.py) [b](runn.py) [c](#one) [d](#two) [e](docs/architecture.md#rooms) [f](LICENSE#x)"
    assert broken_links("README.md", text) == ["runn.py", "#one", "#two", "LICENSE#x"]


def test_the_picture_of_an_order_is_the_table_itself() -> None:
    drawn = [content for language, content in blocks(page("docs/architecture.md")) if language == "mermaid"]
    assert drawn == [diagram()]


def test_both_readmes_have_the_same_shape() -> None:
    english, korean = (page(name) for name in READMES)
    assert [level for level, _ in headings(english)] == [level for level, _ in headings(korean)]
    assert blocks(english) == blocks(korean)
    for mark in (r"^\|", r"^- ", r"^\*\*\d", r"^<!-- measured: \w+ -->$"):
        assert len(re.findall(mark, english, re.MULTILINE)) == len(re.findall(mark, korean, re.MULTILINE)), mark
    names = re.compile(r"`([^`]*\.json|--[\w-]+|[a-z]+_[a-z_.]+|var/[\w/.]*)`")
    assert sorted(names.findall(prose(english))) == sorted(names.findall(prose(korean)))


@pytest.mark.parametrize("name", READMES)
def test_exit_codes_are_told_as_they_are(name: str) -> None:
    ours = [EXIT_OK, EXIT_FAILURE, EXIT_USAGE, EXIT_NOT_RUNNING, EXIT_CONFIG, EXIT_TIMEOUT]
    codes = [*ours, EXIT_INTERRUPTED, EXIT_PIPE_CLOSED, EXIT_TERMINATED]
    line = next(line for line in page(name).splitlines() if line.startswith(("Exit codes:", "종료 코드:")))
    assert [int(number) for number in re.findall(r"(?:: |· )(\d+) ", line)] == codes
    assert [int(number) for number in re.findall(r"(?:: |, +)(\d+) ", CODES.replace("\n", ""))] == codes


@pytest.mark.parametrize("name", READMES)
def test_the_worked_example_follows_the_settings(name: str) -> None:
    rules, config = page("config/trading_rules.json"), page("config/config.json")
    text = page(name)
    for key in ("entry_edge_bps", "exit_edge_bps", "full_edge_bps"):
        value = re.search(rf'"{key}": (\d+)', rules)
        assert value, key
        assert key in SelectionSettings.model_fields
        assert re.search(rf"`{key}`\D{{0,6}}{value[1]}(?!\d)", text), key
    assert '"invest_pct": 30' in config
    assert "`invest_pct`" in text
    assert config.count("binance:") == 5


def test_architecture_tells_the_shapes_and_the_actors_there_are() -> None:
    text = page("docs/architecture.md")
    assert f"bars (S, {WINDOW}, 5)" in text
    assert f"features (S, {SEQUENCE}, {N_FEATURES})" in text
    restarts = text.partition("## Supervisor and restarts")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ([\w, ]+) \|", restarts, re.MULTILINE)
    assert {name for row in rows for name in row.split(", ")} - {"actor"} == set(CLASSES)


def test_architecture_draws_the_layers_that_the_linter_holds() -> None:
    contracts = tomllib.loads(page("pyproject.toml"))["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    assert "  →  ".join(layers) in page("docs/architecture.md")


@pytest.mark.parametrize("name", ["docs/minute.svg", "docs/minute.ko.svg"])
def test_the_picture_of_a_minute_is_whole(name: str) -> None:
    svg = "{http://www.w3.org/2000/svg}"
    drawing = ElementTree.fromstring(page(name))  # our own file, not one from outside
    words = {text.text for text in drawing.iter(f"{svg}text")}
    assert {"feed", "cache", "detector", "models", "selector", "risk", "executor", "recorder", "conductor"} <= words
    assert drawing.find(f"{svg}title") is not None
    assert "prefers-color-scheme: dark" in page(name)
    other = ElementTree.parse(ROOT / "docs" / "minute.svg").getroot()
    assert [node.tag for node in drawing.iter()] == [node.tag for node in other.iter()]
