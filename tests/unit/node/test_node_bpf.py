"""The device program and the allow-list of version 1 say the same as the rule, for every access."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpualloc.node import bpf, device_list, device_rule

BLOCK, CHARACTER = 1, 2
MAJORS = st.one_of(st.sampled_from([1, 195, 508]), st.integers(0, 511))
MINORS = st.one_of(st.integers(0, 5), st.sampled_from([254, 255]), st.integers(0, (1 << 20) - 1))
RULES = st.dictionaries(MAJORS, st.sets(MINORS, max_size=6), max_size=3).map(device_rule.made)


def verdict(code, kind, access, major, minor):
    """What the program answers: its six instructions, carried out."""
    instructions = [struct.unpack_from("<BBhi", code, at) for at in range(0, len(code), 8)]
    context = struct.pack("<III", access << 16 | kind, major, minor)
    registers, at = [0] * 5, 0
    while True:
        operation, both, offset, constant = instructions[at]
        target, source = both & 15, both >> 4
        at += 1
        if operation == 0x61:
            assert source == 1, "only the context is read"
            registers[target] = struct.unpack_from("<I", context, offset)[0]
        elif operation == 0x57:
            registers[target] &= constant
        elif operation == 0x55:
            at += offset if registers[target] != constant else 0
        elif operation == 0x15:
            at += offset if registers[target] == constant else 0
        elif operation == 0xB7:
            registers[target] = constant
        else:
            assert operation == 0x95
            return registers[0]


def allowed(rule, kind, major, minor):
    majors = dict(rule.majors)
    return kind == BLOCK or major not in majors or minor in majors[major]


@settings(deadline=None)
@given(RULES, st.sampled_from([BLOCK, CHARACTER]), st.integers(1, 7), MAJORS, MINORS)
def test_the_program_answers_as_the_rule_says(rule, kind, access, major, minor):
    assert verdict(bpf.assemble(rule), kind, access, major, minor) == allowed(rule, kind, major, minor)


@settings(deadline=None)
@given(RULES, st.sampled_from([BLOCK, CHARACTER]), MAJORS, MINORS)
def test_the_list_answers_as_the_rule_says(rule, kind, major, minor):
    letter = "b" if kind == BLOCK else "c"
    matching = {f"{letter} *:* rwm", f"{letter} {major}:* rwm", f"{letter} {major}:{minor} rwm"}
    assert bool(device_list.entries(rule) & matching) == allowed(rule, kind, major, minor)


@settings(deadline=None)
@given(RULES, RULES)
def test_other_rules_have_other_identities(one, other):
    same = device_list.identity(device_list.entries(one)) == device_list.identity(device_list.entries(other))
    assert same == (one == other)


@pytest.mark.parametrize(
    "group", ["/sys/fs/cgroup", "/sys/fs/cgroup/system.slice/slurmd.service", "/kubepods/gpualloc"]
)
def test_groups_of_others_get_no_program(group):
    rule = device_rule.made({195: set()})
    with pytest.raises(PermissionError, match="did not make this group"):
        bpf.attach(group, rule, "w12345678")
    with pytest.raises(PermissionError, match="did not make this group"):
        bpf.detach(group, "w12345678")
