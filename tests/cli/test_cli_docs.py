"""The documentation names every verb, option, exit code and JSON answer."""

import re
from pathlib import Path

import pytest

from gpualloc.cli.app import VERBS
from gpualloc.cli.completions import described
from gpualloc.errors import GpuallocError

DOCS = Path(__file__).parents[2] / "docs"
SHOWN = [name for name, verb in VERBS.items() if not verb.hidden]


def sections(text, marks):
    """Heading to the text below it."""
    parts = re.split(rf"^{marks} (.+)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def every_error():
    found, waiting = [], [GpuallocError]
    while waiting:
        one = waiting.pop()
        found.append(one)
        waiting += [kind for kind in one.__subclasses__() if kind.__module__ == "gpualloc.errors"]
    return found


def test_every_verb_has_its_section_in_the_order_of_the_help():
    documented = sections((DOCS / "commands.md").read_text(), "###")
    assert list(documented) == SHOWN


@pytest.mark.parametrize("verb", SHOWN)
def test_every_option_is_described(verb):
    text = (DOCS / "commands.md").read_text()
    about = text.split("## Look")[0] + sections(text, "###")[verb]
    for one in described():
        if one.words[:1] == (verb,):
            missing = [name for option in one.options for name in option.names if name not in about]
            assert set(missing) <= {"-h", "--help"}


def test_every_verb_with_json_has_its_data_described():
    documented = sections((DOCS / "json.md").read_text(), "##")
    answering = {name for name in SHOWN if VERBS[name].json}
    assert answering - set(documented) <= {"init", "config", "doctor"}
    assert set(documented) <= answering


@pytest.mark.parametrize("kind", every_error(), ids=lambda kind: kind.__name__)
def test_every_error_is_in_the_table_of_exit_codes(kind):
    rows = [line.split("|") for line in (DOCS / "exit-codes.md").read_text().splitlines() if line.startswith("| ")]
    codes = {row[1].strip(): row[3] for row in rows}
    assert f"`{kind.code}`" in codes[str(kind.exit_code)]
