"""What the codes in the kernel log mean: Xids of GPUs, SXids of NVSwitches, and lines of the driver without a code.

Codes, and what is to be done at once, are after NVIDIA's Xid catalogue (docs.nvidia.com/deploy/xid-errors, with its
older edition for codes that the newer one no longer uses) and, for SXids, the appendix "NVSwitch SXid errors" of
NVIDIA's Fabric Manager user guide. The sentences and the severities are ours. A code that is in no table is told all
the same, as a warning.
"""

from __future__ import annotations

from msgspec import Struct

from gpualloc.model.health import KernelMessage, Severity, Trouble


class Meaning(Struct, frozen=True):
    """What a line of the kernel log tells."""

    severity: Severity
    what: str
    """A few words, without the code."""
    advice: str | None
    own_fault: bool = False
    """Whether it is mostly the fault of the program that ran there, and says nothing against the GPU."""


_Row = tuple[tuple[int, ...], Severity, str, str | None]
"""Codes, and for all of them the severity, the words and the advice."""

_I, _W, _E, _C = Severity.INFO, Severity.WARNING, Severity.ERROR, Severity.CRITICAL

_APP = "look at the program that ran there; the GPU is well unless other programs fail on it too"
_AGAIN = "start the work again; if it comes back, look at program, CUDA and driver versions"
_SOFTWARE = "when it comes back, update the driver or report it to NVIDIA"
_RESET = "drain the GPU and reset it; if it comes back, report it to NVIDIA"
_REBOOT = (
    "drain the node and reboot it; if it comes back, look at seat, power and cables of the board, then exchange it"
)
_EXCHANGE = "drain the GPU, run the field diagnostics and exchange the board"
_ROWS = "a reset at the next opportunity puts the spare row in place"
_LINK = (
    "look at the links of all GPUs of the node, reset them, and look at cables, bridges and switches if it comes back"
)
_OTHER = "look at the other Xid beside it: it names the cause"
_POWER = "look at the auxiliary power cables of the board"

_XID_ROWS: tuple[_Row, ...] = (
    ((8,), _E, "the GPU stopped processing a channel", _AGAIN),
    ((37,), _I, "the driver asked its firmware for something it does not know", None),
    ((38,), _W, "the GPU's firmware ran out of time", _SOFTWARE),
    ((39, 40, 41, *range(70, 73), *range(75, 78), 85, *range(126, 136)), _W, "a copy engine failed", _AGAIN),
    ((42,), _W, "the video processor failed", _AGAIN),
    ((44,), _W, "the compute engine failed while it changed from one program to another", _AGAIN),
    ((46,), _E, "the GPU stopped processing", _RESET),
    ((48,), _E, "an uncorrectable memory error", "drain the GPU and reset it; other Xids beside it tell more"),
    ((54,), _E, "auxiliary power is not connected", _POWER),
    ((56,), _W, "the display engine failed", _SOFTWARE),
    ((57,), _E, "the link to the GPU's memory could not be trained", _EXCHANGE),
    ((58,), _E, "timing of the GPU's memory is unstable", _EXCHANGE),
    ((59, 61), _E, "the GPU's power controller failed", _RESET),
    ((60,), _W, "the security processor failed", _AGAIN),
    ((62,), _C, "an internal controller of the GPU halted", _RESET),
    ((63,), _W, "a faulty memory row or page is going to be replaced by a spare", _ROWS),
    ((64,), _E, "a faulty memory row or page could not be replaced", _EXCHANGE),
    ((65, 73, 142, 47), _W, "the video encoder failed", _AGAIN),
    ((66, 67), _W, "the driver used the GPU in a way that is not allowed", _SOFTWARE),
    ((68, 83, 84, 88, 89, *range(96, 99)), _W, "the video decoder failed", _AGAIN),
    ((82, *range(99, 106)), _W, "the JPEG decoder failed", _AGAIN),
    ((74,), _E, "an NVLink failed", _LINK),
    ((78,), _E, "a virtual GPU could not be started", "match the versions of the vGPU manager and the guest's driver"),
    ((79,), _C, "the GPU fell off the bus: the host cannot reach it any more", _REBOOT),
    ((81,), _W, "the VGA part failed", _SOFTWARE),
    ((86, 139), _W, "the optical-flow engine failed", _AGAIN),
    ((92,), _W, "corrected memory errors are frequent", "drain it when uncorrected ones follow"),
    ((93,), _W, "the GPU's information memory was written too often", _SOFTWARE),
    ((94,), _W, "an uncorrectable memory error that hit one program only", "start that work again; reset the idle GPU"),
    ((95,), _C, "an uncorrectable memory error that could not be contained", _RESET),
    ((106, 107), _I, "a test message of the management bus", None),
    ((108, 137), _W, "a GPU was used over NVLink in a way that is not allowed", _AGAIN),
    ((109,), _E, "changing from one program to another took too long", _RESET),
    ((110,), _E, "a security fault", _RESET),
    ((119, 120), _C, "the GPU's system processor (GSP) does not answer or failed", _RESET),
    ((121,), _W, "the chip-to-chip link had errors", "reset the GPU at the next opportunity"),
    ((122, 123, 124), _W, "the GPU's flash memory could not be read or written", _SOFTWARE),
    ((125,), _W, "the GPU's information memory has errors", _SOFTWARE),
    ((136,), _E, "an NVLink could not be trained", _LINK),
    ((138,), _W, "the deep-learning accelerator failed", _AGAIN),
    ((140,), _C, "an uncorrectable memory error that was not recovered from", _RESET),
    ((141,), _W, "a fast path of CUDA failed", _AGAIN),
    ((143,), _C, "the GPU could not be initialised", _RESET),
    ((*range(144, 151),), _E, "an NVLink failed (fifth generation)", _LINK),
    ((151,), _E, "an encryption key could not be changed", "restart the virtual machine"),
    ((152, 153), _W, "the deep-learning accelerator failed or ran out of time", _SOFTWARE),
    ((154,), _W, "the driver says what must be done to recover: it is in the line itself", _OTHER),
    ((155,), _E, "an NVLink failed, as the software found", _LINK),
    ((156,), _W, "a faulty part of the GPU is going to be put out of use", "drain the GPU and reset it"),
    ((157,), _E, "a faulty part of the GPU could not be put out of use", _EXCHANGE),
    ((158, 167), _C, "the GPU did not answer in time, for good", _RESET),
    ((159,), _E, "the host's memory was not to be reached by the GPU", _OTHER),
    ((160, 161), _W, "a memory channel was, or was to be, put out of use", _SOFTWARE),
    ((162, 163), _I, "power smoothing was switched on or off", None),
    ((164, 165), _W, "power smoothing has little or no lifetime left", _SOFTWARE),
    ((166, 170), _E, "encrypted NVLink traffic failed", _RESET),
    ((168,), _W, "the GPU has less memory, since errors were found in a protected region", _EXCHANGE),
    ((169,), _C, "the GPU's security processor halted", _RESET),
    ((171, 172), _E, "an uncorrectable memory error, in more detail than Xid 48", _OTHER),
)  # fmt: skip
_OWN_FAULT_ROWS: tuple[_Row, ...] = (
    ((11, 25, 32, 69, 80), _W, "a program sent the GPU commands that make no sense, or they were damaged", _APP),
    ((13,), _W, "a program failed on the GPU: access out of bounds, or an illegal instruction", _APP),
    ((31,), _W, "a program used a GPU address that it does not have", _APP),
    ((43,), _I, "a program's work on the GPU was ended after a fault of its own", _APP),
    ((45,), _I, "the driver cleared up after a program that ended or failed before", _OTHER),
)  # fmt: skip
_SXID_ROWS: tuple[_Row, ...] = (
    ((10001, 10002), _E, "the switch could not be spoken to", _LINK),
    ((10003,), _C, "an interrupt of the switch that nobody handled", _REBOOT),
    ((10004,), _W, "the switch is too hot", "look at its cooling"),
    ((10005,), _I, "the switch is no longer too hot", None),
    ((11004,), _E, "traffic that the partition does not allow", "look at the partitions of the fabric manager"),
    (
        (11012, 11021, 11022, 11023, 12021, 12023, 15008, 15011, 19049, 19055, 19057, 19059, 19062, 19065, 19068, 19071,
         24001, 24002, 24003),
        _I, "a memory error in the switch that it corrected", None,
    ),
    ((12028,), _W, "an access over the switch that is not allowed", _AGAIN),
    ((14017, 24007), _E, "the switch waited too long for an answer", _LINK),
    ((19084,), _W, "a heartbeat on a link was missed", _LINK),
    ((20001,), _W, "a packet on a link was sent again", "harmless when rare; look at the link when frequent"),
    ((20009, 20012), _W, "a link has errors or is connected badly", _LINK),
    ((20034,), _E, "a link failed", _LINK),
    ((22012, 22013), _W, "the link controller of the switch has a fault", _LINK),
    ((12020, 22003, 22011, *range(23001, 23018)), _C, "a fault that stops the whole switch", _REBOOT),
    (
        (11001, 11009, 11013, *range(11018, 11021), 12001, 12002, 12022, *range(12024, 12028), *range(12030, 12033),
         15001, 15006, 15009, 15010, 15012, 15013, 19047, 19048, 19054, 19056, 19058, 19060, 19061, 19063, 19064, 19066,
         19067, 19069, 19070, *range(24004, 24007)),
        _E, "a fault on a port of the switch that ends the work over it", _LINK,
    ),
)  # fmt: skip


def _table(rows: tuple[_Row, ...], *, own_fault: bool = False) -> dict[int, Meaning]:
    return {
        code: Meaning(severity, what, advice, own_fault) for codes, severity, what, advice in rows for code in codes
    }


XIDS = _table(_XID_ROWS) | _table(_OWN_FAULT_ROWS, own_fault=True)
"""Xid to its meaning."""
SXIDS = _table(_SXID_ROWS)
"""SXid to its meaning."""

_SETUP = "look at the kernel log from its beginning, at the BIOS settings for large devices and the installed driver"
_PHRASES = (
    ("fallen off the bus", Meaning(_C, "the GPU fell off the bus: the host cannot reach it any more", _REBOOT)),
    (
        "api mismatch",
        Meaning(_C, "the driver and its libraries have different versions", "reload the driver or reboot"),
    ),
    ("rminitadapter", Meaning(_C, "the driver could not start the GPU", _REBOOT)),
    ("rm_init_adapter", Meaning(_C, "the driver could not start the GPU", _REBOOT)),
    ("change power state", Meaning(_C, "the GPU could not be woken: the host cannot reach it any more", _REBOOT)),
    (" lost", Meaning(_C, "the driver lost the GPU", _REBOOT)),
    ("to be reset", Meaning(_E, "the GPU must be reset", _RESET)),
    ("bad state", Meaning(_E, "the GPU is in a bad state", _RESET)),
    ("crash dump", Meaning(_E, "the GPU's firmware crashed", _RESET)),
    ("failed with error", Meaning(_E, "the driver could not take the GPU", _SETUP)),
    ("no nvidia", Meaning(_E, "the driver found no GPU", _SETUP)),
    ("none of the nvidia", Meaning(_E, "the driver found no GPU that it can start", _SETUP)),
    ("nvidia open", Meaning(_E, "the GPU needs the open kernel module", "install the open flavour of the driver")),
    ("pci i/o region", Meaning(_E, "the GPU's memory has no place on the bus", _SETUP)),
    ("is 0m", Meaning(_E, "the GPU's memory has no place on the bus", _SETUP)),
    ("bus error", Meaning(_W, "an error on the GPU's PCIe link", "look at seat, riser and slot if it comes back")),
)
"""Parts of lines that carry no code, in lower case; the first that fits counts."""
_OTHERWISE = Meaning(_W, "the driver tells of trouble", _SOFTWARE)


def meaning_of(message: KernelMessage) -> Meaning:
    """What a line of the kernel log tells; what is in no table is a warning, since nodes send lines of trouble only."""
    if message.trouble is Trouble.XID:
        return _coded("Xid", XIDS, message.code)
    if message.trouble is Trouble.SXID:
        return _coded("SXid", SXIDS, message.code)
    text = message.text.casefold()
    return next((meaning for phrase, meaning in _PHRASES if phrase in text), _OTHERWISE)


def sentence_of(message: KernelMessage) -> str:
    """The line in a sentence that begins with the code, and the line itself; it holds text that a node sent."""
    meaning = meaning_of(message).what
    if message.code is not None:
        word = "SXid" if message.trouble is Trouble.SXID else "Xid"
        meaning = meaning if meaning.startswith(word) else f"{word} {message.code}: {meaning}"
    return f"{meaning}; the log says: {message.text}" if message.text else meaning


def _coded(word: str, table: dict[int, Meaning], code: int | None) -> Meaning:
    if code is not None and code in table:
        return table[code]
    return Meaning(_W, f"{word} {'?' if code is None else code} is not in the table", _SOFTWARE)
