"""The kernel log and the costs as a node program tells them over the wire, under the oldest Python, too."""

from gpualloc.adapters.decode_readings import decode_cost, decode_kernel
from gpualloc.model.health import Trouble

LINES = (
    "4,7,1000000,-;NVRM: Xid (PCI:0000:3B:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus.\n"
    " SUBSYSTEM=pci\n"
    "6,8,2000000,-;eth0: link up\n"
    "4,9,3000000,-;nvidia-nvswitch0: SXid (PCI:0000:c1:00.0): 12028, Non-fatal, Link 32 egress\n"
)
MORE = "3,10,4000000,-;NVRM: GPU 0000:3b:00.0: RmInitAdapter failed! (0x26:0xffff:1290)\n"


def test_the_kernel_log_over_the_wire(any_node, tmp_path, monkeypatch):
    file = tmp_path / "kmsg"
    file.write_text(LINES)
    monkeypatch.setenv("GPUALLOC_KERNEL_LOG", str(file))
    program = any_node.program()
    xid, sxid = decode_kernel(program.ask("kernel")["ok"])[0]
    assert (xid.seq, xid.trouble, xid.code, xid.pci_bus_id) == (1_000_000, Trouble.XID, 79, "0000:3b:00.0")
    assert (sxid.seq, sxid.trouble, sxid.code, sxid.pci_bus_id) == (3_000_000, Trouble.SXID, 12028, "0000:c1:00.0")
    assert sxid.at_s - xid.at_s == 2
    with file.open("a") as opened:
        opened.write(MORE)
    messages, _ = decode_kernel(program.ask("kernel")["ok"])
    assert [message.code for message in messages] == [79, 12028, None]
    assert program.close() == 0


def test_each_reading_of_the_host_has_a_cost(any_node):
    program = any_node.program()
    for verb in ("sample", "sample", "processes", "kernel", "claims"):
        assert "ok" in program.ask(verb)
    groups = {group.group: group for group in decode_cost(program.ask("cost")["ok"])}
    assert {name: groups[name].calls for name in ("host", "process owners", "kernel log", "claims")} == {
        "host": 2,
        "process owners": 1,
        "kernel log": 1,
        "claims": 1,
    }
    assert all(0 < group.mean_s <= group.max_s < 60 for group in groups.values())
