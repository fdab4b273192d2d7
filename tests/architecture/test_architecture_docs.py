"""The documentation tells of everything there is: it fails here before it goes stale."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from gpualloc import errors
from gpualloc.cli.app import VERBS
from gpualloc.config.keys import KEYS, RESERVED_VARIABLES
from gpualloc.model.sample import METRICS
from gpualloc.node.wire import REASONS
from gpualloc.node.wire import VERBS as WIRE_VERBS

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def text_of(name: str) -> str:
    return (DOCS / name).read_text()


def everything() -> str:
    return "\n".join(file.read_text() for file in [*sorted(DOCS.rglob("*.md")), ROOT / "README.md"])


@pytest.mark.parametrize("verb", [name for name, verb in VERBS.items() if not verb.hidden])
def test_every_verb_is_documented(verb):
    assert re.search(rf"gpualloc (--\S+ \S+ )?{re.escape(verb)}\b", everything())


def error_classes(root: type = errors.GpuallocError) -> list[type[errors.GpuallocError]]:
    return [root, *(below for child in root.__subclasses__() for below in error_classes(child))]


@pytest.mark.parametrize("error", error_classes(), ids=lambda error: error.code)
def test_every_exit_code_and_error_code_is_documented(error):
    text = text_of("exit-codes.md")
    assert re.search(rf"^\| {error.exit_code} \|", text, re.MULTILINE)
    assert f"`{error.code}`" in text


@pytest.mark.parametrize("code", [0, 1, 2, 3, 4, 5, 6, 7, 10, 125, 126, 127, 130])
def test_the_contract_of_exit_codes_is_documented(code):
    assert re.search(rf"\b{code}\b", text_of("exit-codes.md"))


@pytest.mark.parametrize("policy", sorted(point.name for point in entry_points(group="gpualloc.policies")))
def test_every_policy_is_documented(policy):
    assert f"`{policy}`" in everything()


def test_the_policies_that_the_project_names_are_installed():
    named = set(PROJECT["entry-points"]["gpualloc.policies"])
    assert named <= {point.name for point in entry_points(group="gpualloc.policies")}


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.path)
def test_every_configuration_key_is_documented(key):
    text = text_of("configuration.md")
    assert f"`{key.path.replace('*', 'NAME')}`" in text
    assert key.variable is None or f"`{key.variable}`" in text


@pytest.mark.parametrize("variable", sorted(RESERVED_VARIABLES))
def test_every_other_variable_is_documented(variable):
    assert f"`{variable}`" in text_of("configuration.md")


@pytest.mark.parametrize("metric", METRICS)
def test_every_metric_is_documented(metric):
    assert f"`{metric}`" in everything()


@pytest.mark.parametrize("verb", WIRE_VERBS)
def test_every_wire_verb_is_documented(verb):
    assert re.search(rf"^\| `{verb}` \|", text_of("wire.md"), re.MULTILINE)


@pytest.mark.parametrize("reason", REASONS)
def test_every_wire_reason_is_documented_where_it_is_defined(reason):
    source = (ROOT / "gpualloc" / "node" / "wire.py").read_text()
    assert re.search(rf'^    "{reason}",  # \w', source, re.MULTILINE)


@pytest.mark.parametrize("requirement", PROJECT["dependencies"])
def test_every_dependency_says_why_it_is_there(requirement):
    name = re.split(r"[<>=!~\[ ;]", requirement)[0]
    assert re.search(rf"^\| {re.escape(name)} \|", text_of("dependencies.md"), re.MULTILINE)


def checks_of_the_doctor() -> list[str]:
    files = (ROOT / "gpualloc" / "engine").glob("doctor*.py")
    source = "\n".join(file.read_text() for file in files)
    return sorted(set(re.findall(r'Finding\("([a-z-]+)"', source)))


@pytest.mark.parametrize("check", checks_of_the_doctor())
def test_every_check_of_the_doctor_is_documented(check):
    assert re.search(rf"^\| `{check}` \|", text_of("doctor.md"), re.MULTILINE)


def test_the_change_log_is_kept():
    text = (ROOT / "CHANGELOG.md").read_text()
    assert "## [Unreleased]" in text


def test_links_between_documents_lead_somewhere():
    broken = []
    for file in [*DOCS.rglob("*.md"), *ROOT.glob("*.md")]:
        for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", file.read_text()):
            if not (file.parent / target).exists():
                broken.append(f"{file.name}: {target}")
    assert broken == []
