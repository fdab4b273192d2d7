"""Lines of the kernel log: what is told of each form that NVIDIA's driver and the bus write."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gpualloc.adapters.decode_readings import decode_kernel
from gpualloc.node.kernel_lines import MAX_TEXT, joined, may_matter, message, record

_UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

GPUS = {"0000:3b:00.0", "10000:e1:00.0"}

CODED = [
    ("NVRM: Xid (PCI:0000:3b:00): 79, pid=1122, GPU has fallen off the bus.", "xid", 79, "0000:3b:00.0"),
    ("NVRM: Xid (PCI:0000:3B:00): 79, pid='<unknown>', name=<unknown>, GPU lost", "xid", 79, "0000:3b:00.0"),
    ("NVRM: Xid (0000:af:00): 48, pid='<unknown>', Ch 00000008", "xid", 48, "0000:af:00.0"),
    ("NVRM: Xid (PCI:00000000:AF:00.0): 13, pid=7, name=python, Graphics Exception", "xid", 13, "0000:af:00.0"),
    ("NVRM: Xid (PCI:0008:01:00): 145, RLW_REMAP Nonfatal XC0 i0 Link 00", "xid", 145, "0008:01:00.0"),
    ("NVRM: Xid (PCI:10000:e1:00.0): 31, pid=8, MMU Fault", "xid", 31, "10000:e1:00.0"),
    ("NVRM: Xid (PCI:0000:01:00 GPU-I:05): 94, pid=7194, Contained: CE User Channel", "xid", 94, "0000:01:00.0"),
    ("NVRM: Xid (PCI:0000:18:00): 154, GPU recovery action changed from 0x0 (None)", "xid", 154, "0000:18:00.0"),
    ("NVRM: Xid: 6, PE0001", "xid", 6, None),
    ("NVRM: Xid: 45, pid=3, name=0000:3b:00.0", "xid", 45, None),
    ("nvidia-nvswitch0: SXid (PCI:0000:c1:00.0): 12028, Non-fatal, Link 32 egress", "sxid", 12028, "0000:c1:00.0"),
    ("nvidia-nvswitch11: SXid (PCI:0000:a9:00.0): 20034, Fatal, Link 30 LTSSM Fault Up", "sxid", 20034, "0000:a9:00.0"),
]

UNCODED = [
    ("NVRM: GPU 0000:18:00.0: GPU has fallen off the bus.", "0000:18:00.0"),
    ("NVRM: GPU 0000:01:00.0: RmInitAdapter failed! (0x62:0xffff:1863)", "0000:01:00.0"),
    ("NVRM: GPU 0000:01:00.0: rm_init_adapter failed, device minor number 0", "0000:01:00.0"),
    ("NVRM: rm_init_adapter(0) failed", None),
    ("NVRM: API mismatch: the client has the version 550.54, but this kernel module has 535.104", None),
    ("NVRM: No NVIDIA GPU found.", None),
    ("NVRM: None of the NVIDIA devices were initialized.", None),
    ("NVRM: The NVIDIA probe routine failed for 1 device(s).", None),
    ("NVRM: nvAssertOkFailedNoLog: Assertion failed: GPU lost from the bus [NV_ERR_GPU_IS_LOST]", None),
    ("NVRM: (the GPU is likely in a bad state and may need to be reset)", None),
    ("NVRM: Xid without a number", None),
    ("nvidia-nvlink: Failed to train link 3", None),
    ("nvidia-nvswitch1: Fatal error while the link was brought up", None),
    ("nvidia-modeset: ERROR: GPU:0: Error while waiting for GPU progress: 0x0000c77d:0", None),
    ("nvidia-peermem nv_get_p2p_free_callback:127 ERROR detected invalid context", None),
    ("nvidia 0000:3b:00.0: AER: PCIe Bus Error: severity=Corrected, type=Physical Layer", "0000:3b:00.0"),
    ("nvidia 0000:5e:00.0: PCIe Bus Error: severity=Uncorrected (Fatal), type=Transaction Layer", "0000:5e:00.0"),
    ("nvidia 0000:3b:00.0: AER: can't recover (no error_detected callback)", "0000:3b:00.0"),
    ("nvidia 0000:02:00.0: probe with driver nvidia failed with error -1", "0000:02:00.0"),
    ("nvidia: probe of 0000:02:00.0 failed with error -1", "0000:02:00.0"),
    ("pcieport 0000:3a:00.0: AER: Uncorrected (Fatal) error received: 0000:3b:00.0", "0000:3b:00.0"),
    ("pcieport 0000:3a:00.0: AER: Correctable error message received from 0000:3B:00.0", "0000:3b:00.0"),
    ("vfio-pci 0000:3b:00.0: Unable to change power state from D3cold to D0, device inaccessible", "0000:3b:00.0"),
]

NO_TROUBLE = [
    "NVRM: loading NVIDIA UNIX Open Kernel Module for x86_64  535.104.05",
    "NVRM: GPU at PCI:0000:3b:00: GPU-b850f46d-d5ea-c752-ddf3-c4453e44d3f7",
    "NVRM: GPU Board Serial Number: 1324021012345",
    "nvidia-nvlink: Nvlink Core is being initialized, major device number 236",
    "nvidia-modeset: Loading NVIDIA Kernel Mode Setting Driver for UNIX platforms  535.104.05",
    "nvidia-uvm: Loaded the UVM driver, major device number 235.",
    "nvidia-gpu 0000:b3:00.3: i2c timeout error e0000000",
    "nvidia 0000:3b:00.0: enabling device (0000 -> 0003)",
    "nvidia 0000:3b:00.0:   device [10de:2330] error status/mask=00000001/0000a000",
    "nvidia 0000:3b:00.0:    [ 0] RxErr                  (First)",
    "nvidia: module license 'NVIDIA' taints kernel.",
    # What registers held goes on about the SXid of the line before.
    "nvidia-nvswitch0: SXid (PCI:0000:a9:00.0): 20034, Severity 1 Engine instance 30 Sub-engine instance 00",
    "nvidia-nvswitch0: SXid (PCI:0000:a9:00.0): 20034, Data {0x50610002, 0x10100030}",
    # Errors of the bus that are another device's.
    "pcieport 0000:00:1c.0: AER: Corrected error received: 0000:00:1c.0",
    "igb 0000:09:00.0: AER: PCIe Bus Error: severity=Uncorrected (Non-Fatal)",
    "pcieport 0000:00:1c.0: AER: Corrected error received: id=00e0",
    # Names that anybody may give: of a USB device, of a program.
    "usb 1-1: Product: NVRM: Xid (PCI:0000:3b:00): 79, GPU has fallen off the bus.",
    "traps: NVRM: Xid[12] general protection fault ip:7f00 sp:7ffe error:0",
    "",
]


@pytest.mark.parametrize(("text", "kind", "code", "pci"), CODED)
def test_an_xid_and_an_sxid_in_every_form(text, kind, code, pci):
    assert message(text, GPUS) == {"kind": kind, "code": code, "pci_bus_id": pci, "text": text}


@pytest.mark.parametrize(("text", "pci"), UNCODED)
def test_a_line_that_matters_without_a_code(text, pci):
    assert message(text, GPUS) == {"kind": "driver", "code": None, "pci_bus_id": pci, "text": text}


@pytest.mark.parametrize("text", NO_TROUBLE)
def test_information_and_what_is_not_about_a_gpu(text):
    assert message(text, GPUS) is None


@pytest.mark.parametrize("text", [text for text, *_ in (*CODED, *UNCODED)])
def test_what_matters_passes_the_quick_look(text):
    assert may_matter(text.encode())


def test_a_bus_error_is_a_gpus_when_the_host_knows_it():
    line = "pcieport 0000:3a:00.0: AER: Corrected error received: 0000:3b:00.0"
    assert message(line, set()) is None
    assert message(line, GPUS)["pci_bus_id"] == "0000:3b:00.0"


def test_a_record_of_the_kernel():
    line = b"4,22023,46286667408,-;NVRM: Xid (PCI:0000:3b:00): 79, GPU has fallen off the bus."
    assert record(line) == (46286667408, "NVRM: Xid (PCI:0000:3b:00): 79, GPU has fallen off the bus.")


def test_lines_that_the_driver_writes_as_one_record_are_one():
    line = (
        rb"3,12,345678,-,caller=T1;NVRM: The NVIDIA GPU 0000:b3:00.0\x0aNVRM: (PCI ID: 10de:26b5) installed in this"
        rb" system has\x0aNVRM: fallen off the bus and is not responding to commands."
    )
    microseconds, text = record(line)
    assert (microseconds, message(text)["pci_bus_id"]) == (345678, "0000:b3:00.0")
    assert text == (
        "NVRM: The NVIDIA GPU 0000:b3:00.0 (PCI ID: 10de:26b5) installed in this system has fallen off the bus and is"
        " not responding to commands."
    )


def test_escaped_bytes_are_the_text_they_stand_for():
    assert record(rb"6,1,2,-;a\x5cb \xc3\xa9\x1b[31m")[1] == "a\\b é\x1b[31m"


@pytest.mark.parametrize("line", [b"", b" SUBSYSTEM=pci", b"6,1,2;x", b"x,1,2,-;x", b"6,1,%s,-;x" % (b"1" * 40)])
def test_a_line_that_begins_no_record(line):
    assert record(line) is None


def test_a_long_line_is_cut():
    told = message("NVRM: Xid (PCI:0000:3b:00): 79, " + "x" * 10_000)
    assert len(told["text"]) == MAX_TEXT


_PIECES = st.sampled_from(
    [
        "NVRM: ",
        "Xid ",
        "SXid ",
        "(PCI:",
        "0000:3b:00",
        ".0",
        "): ",
        "79, ",
        "nvidia-nvswitch0: ",
        "AER: ",
        "nvidia ",
        "lost",
    ]
)


@_UNHURRIED
@given(st.lists(st.one_of(_PIECES, st.text(max_size=12)), max_size=40).map("".join))
def test_whatever_is_in_the_log_the_head_can_read_what_is_told_of_it(text):
    told = message(text, GPUS)
    if told is None:
        return
    row = dict(told, seq=1, at_s=2.0)
    (decoded,), _ = decode_kernel({"messages": [row], "reason": None})
    assert (decoded.code, decoded.pci_bus_id) == (told["code"], told["pci_bus_id"])
    assert len(told["text"]) <= MAX_TEXT


@_UNHURRIED
@given(st.binary(max_size=400))
def test_no_record_breaks_the_reader(line):
    told = record(b"6,1,2,-;" + line)
    assert told is None or told[0] == 2
    record(line)


@_UNHURRIED
@given(st.text(max_size=200))
def test_a_joined_record_is_one_line(text):
    assert len(joined(text).splitlines()) <= 1
