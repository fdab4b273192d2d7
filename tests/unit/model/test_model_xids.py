"""The tables of kernel-log codes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpualloc.model.health import KernelMessage, Severity, Trouble
from gpualloc.model.xids import SXIDS, XIDS, meaning_of, sentence_of


def message(trouble=Trouble.XID, code=79, text="NVRM: Xid (PCI:0000:3b:00): 79, GPU has fallen off the bus."):
    return KernelMessage(1, 1000.0, trouble, code, "0000:3b:00.0", text)


@pytest.mark.parametrize(
    "code",
    [
        *(
            13,
            31,
            32,
            38,
            43,
            44,
            45,
            48,
            56,
            57,
            58,
            59,
            61,
            62,
            63,
            64,
            66,
            67,
            68,
            69,
            73,
            74,
            78,
            79,
            80,
            92,
            94,
            95,
        ),
        *range(105, 111),
        *(119, 120, 121, 123),
        *range(136, 141),
        *range(143, 159),
    ],
)
def test_every_xid_that_matters_has_a_meaning(code):
    assert code in XIDS
    assert "not in the table" not in meaning_of(message(code=code)).what


@pytest.mark.parametrize("code", [13, 31, 43, 45, 69])
def test_a_fault_of_the_program_is_not_a_sick_gpu(code):
    meaning = XIDS[code]
    assert meaning.own_fault
    assert meaning.severity.rank <= Severity.WARNING.rank


@pytest.mark.parametrize("code", [62, 79, 95, 119, 120, 140, 143])
def test_what_ends_all_work_on_a_gpu_is_critical(code):
    assert XIDS[code].severity is Severity.CRITICAL
    assert XIDS[code].advice


def test_the_sentence_names_code_meaning_and_line():
    assert sentence_of(message()) == (
        "Xid 79: the GPU fell off the bus: the host cannot reach it any more; "
        "the log says: NVRM: Xid (PCI:0000:3b:00): 79, GPU has fallen off the bus."
    )


@pytest.mark.parametrize(
    ("text", "severity"),
    [
        ("NVRM: GPU 0000:3b:00.0: GPU has fallen off the bus.", Severity.CRITICAL),
        ("NVRM: GPU 0000:3b:00.0: RmInitAdapter failed! (0x24:0x72:1568)", Severity.CRITICAL),
        ("NVRM: API mismatch: the client has the version 580.1", Severity.CRITICAL),
        ("nvidia 0000:3b:00.0: Unable to change power state from D3cold to D0, device inaccessible", Severity.CRITICAL),
        ("NVRM: A GPU crash dump has been created.", Severity.ERROR),
        ("NVRM: No NVIDIA GPU found.", Severity.ERROR),
        ("nvidia 0000:3b:00.0: PCIe Bus Error: severity=Corrected", Severity.WARNING),
        ("nvidia-nvlink: something failed", Severity.WARNING),
    ],
)
def test_a_line_without_a_code_is_known_by_its_words(text, severity):
    meaning = meaning_of(message(Trouble.DRIVER_MESSAGE, None, text))
    assert meaning.severity is severity
    assert meaning.advice


@given(st.sampled_from([Trouble.XID, Trouble.SXID]), st.integers(0, 1 << 31))
def test_an_unknown_code_is_a_warning_and_never_dropped(trouble, code):
    known = XIDS if trouble is Trouble.XID else SXIDS
    meaning = meaning_of(message(trouble, code))
    if code not in known:
        assert meaning.severity is Severity.WARNING
        assert f"{code} is not in the table" in sentence_of(message(trouble, code))
        assert sentence_of(message(trouble, code)).count(str(code)) >= 1


@pytest.mark.parametrize("table", [XIDS, SXIDS])
def test_meanings_are_one_short_phrase_each(table):
    for code, meaning in table.items():
        assert meaning.what, code
        assert not meaning.what.endswith("."), code
        assert len(meaning.what) <= 90, code
        assert meaning.advice or meaning.severity is Severity.INFO, code
