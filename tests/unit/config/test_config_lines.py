"""Lines of keys in TOML texts, which messages name."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpualloc.config.lines import key_lines, line_of

TEXT = '''\
# a comment with [brackets] = "text"
policy = "best-fit"  # [more]
"quoted key" = 1

[pools.a]
nodes = """
[not.a.header]
key = 1
"""
ssh.options = [
  "A=[b]",  # ]
  'C=d',
]
labels = { room = "]", "x.y" = "}" }

[pools."b.c"]
nodes = 'gpu[1-2]'
[[nodes]]
name = "n1"
[[nodes]]
name = "n2"
[nodes.labels]
room = "x"
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("policy",), 2),
        (("quoted key",), 3),
        (("pools", "a"), 5),
        (("pools", "a", "nodes"), 6),
        (("pools", "a", "ssh", "options"), 10),
        (("pools", "a", "ssh", "options", 1), 10),
        (("pools", "a", "labels", "room"), 14),
        (("pools", "b.c", "nodes"), 17),
        (("nodes", 0, "name"), 19),
        (("nodes", 1, "name"), 21),
        (("nodes", 1, "labels", "room"), 23),
        (("nothing",), 1),
    ],
)
def test_line_of_each_key(path, line):
    tomllib.loads(TEXT)
    assert line_of(key_lines(TEXT), path) == line


VALUES = st.sampled_from(
    ["1", '"text # no comment"', "'[x]'", '"\\"]"', "[\n1,\n 2 ]", '"""\n[a]\nb = 1\n"""', "{ a = 1 }", "true # [x]"]
)


@given(st.lists(st.tuples(st.booleans(), VALUES), max_size=12))
def test_every_key_of_any_text_is_found_where_it_was_written(entries):
    lines, expected, table = [], {}, ()
    for number, (new_table, value) in enumerate(entries):
        if new_table:
            table = (f"t{number}",)
            lines.append(f"[t{number}]")
        expected[(*table, f"k{number}")] = len("\n".join(lines).splitlines()) + 1 if lines else 1
        lines.append(f"k{number} = {value}")
    text = "\n".join(lines) + "\n"
    tomllib.loads(text)
    found = key_lines(text)
    assert {path: found[path] for path in expected} == expected
