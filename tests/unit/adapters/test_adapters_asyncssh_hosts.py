"""Known hosts, beside ssh-keygen's own reading of the same files."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gpualloc.adapters.streaming.asyncssh_hosts import known_keys

KEYS = (
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEKJQSUQjA9s8yAWOTt/pYX7oFMhWs8J7rNRkNTHhxCM",
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIN37+iHn8hiQ3HyEgAL87pTb6lsKYGl+Ve7pCsjzcPYe",
    "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBEmKSENjQEezOmxkZMy7opKgwFB9nkt5YRrYMjNuG5N87uRgg6CLrbo5wAdT/y6v0mKV0U2w0WZ2YB/++Tpockg=",  # noqa: E501
)
HOSTS = ("n1", "n2", "n1.example", "[n1]:2200", "10.0.0.1")
PATTERNS = (*HOSTS, "n*", "n?", "*.example", "!n2", "[n*]:2200", "N1", "*")
MARKERS = ("", "", "@revoked ", "@cert-authority ")


def lines() -> st.SearchStrategy[str]:
    hosts = st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=3).map(",".join)
    line = st.builds("{}{} {}".format, st.sampled_from(MARKERS), hosts, st.sampled_from(KEYS))
    return st.one_of(line, st.sampled_from(["", "# comment", "garbage", "n1 1024 35 12345", "@later n1 ssh-x AAAA"]))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.lists(lines(), max_size=6), host=st.sampled_from(HOSTS), hashed=st.booleans())
def test_the_same_keys_are_found_as_by_ssh_keygen(tmp_path, text, host, hashed):
    file = tmp_path / "known"
    file.write_text("\n".join(text) + "\n")
    if hashed:
        subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(file)], capture_output=True, check=False)
    told = subprocess.run(["ssh-keygen", "-F", host, "-f", str(file)], capture_output=True, text=True, check=False)
    found = [line.split() for line in told.stdout.splitlines() if line and not line.startswith("#")]
    known = known_keys(host, [str(file)])
    plain = [words for words in found if not words[0].startswith("@")]
    without_port = host.startswith("[") and not any(words[0] != "@revoked" for words in found)
    if not without_port:
        assert list(known.trusted) == [f"{words[1]} {words[2]}" for words in plain]
        assert known.certified == any(words[0] == "@cert-authority" for words in found)
    assert {f"{words[2]} {words[3]}" for words in found if words[0] == "@revoked"} <= set(known.revoked)


def test_a_host_that_is_known_without_its_port_is_known(tmp_path):
    file = tmp_path / "known"
    file.write_text(f"n1 {KEYS[0]}\n@revoked n1 {KEYS[1]}\n")
    assert known_keys("[n1]:2200", [str(file)]).trusted == (KEYS[0],)
    file.write_text(f"n1 {KEYS[0]}\n[n1]:2200 {KEYS[2]}\n")
    assert known_keys("[n1]:2200", [str(file)]).trusted == (KEYS[2],)


def test_all_files_count_and_a_missing_one_knows_nothing(tmp_path):
    for number in (0, 1):
        (tmp_path / str(number)).write_text(f"n1 {KEYS[number]}\n")
    files = [str(tmp_path / name) for name in ("0", "none", "1")]
    assert known_keys("n1", files).trusted == KEYS[:2]


def test_a_file_that_changed_is_read_again(tmp_path):
    file = tmp_path / "known"
    file.write_text(f"n1 {KEYS[0]}\n")
    assert known_keys("n1", [str(file)]).trusted == (KEYS[0],)
    file.write_text(f"n1 {KEYS[1]}\n@revoked n1 {KEYS[0]}\n")
    known = known_keys("n1", [str(file)])
    assert (known.trusted, known.revoked) == ((KEYS[1],), (KEYS[0],))


@pytest.mark.parametrize("broken", ["|1|%%%|x ", "|1|x ", "|2|YWJj|YWJj "])
def test_a_hash_that_is_none_is_about_nobody(tmp_path, broken):
    file = tmp_path / "known"
    file.write_text(f"{broken}{KEYS[0]}\n")
    assert known_keys("n1", [str(file)]).trusted == ()
