"""The kernel's lines out of a real journal: a journald of the test's own, fed by a pipe in place of the kernel log."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from fakes.own_mounts import own_mounts

from gpualloc.node.kernel_log import KernelLog

JOURNALD = "/lib/systemd/systemd-journald"

SYSTEM = f"""\
mount -t tmpfs none /run
mount -t tmpfs none /etc/systemd
mkdir -p /run/systemd/journal /run/log/journal
printf '[Journal]\\nStorage=volatile\\nAudit=no\\nRateLimitBurst=0\\n' > /etc/systemd/journald.conf
mkfifo -m 600 /run/kmsg
mount --bind /run/kmsg /dev/kmsg
exec 3<>/dev/kmsg
{JOURNALD} &
while ! test -S /run/systemd/journal/socket; do sleep 0.05; done
"""

RECORDS = [
    b"6,1,1000000,-;Linux version 6.1\n",
    b"4,2,2000000,-;NVRM: Xid (PCI:0000:3b:00): 79, pid=1, GPU has fallen off the bus.\n",
    b"4,3,2000000,-;NVRM: Xid (PCI:0000:3b:00): 79, pid=1, GPU has fallen off the bus.\n",
    # Written by a program, which the journal takes the first word from.
    b"12,4,3000000,-;NVRM: Xid (PCI:0000:3b:00): 48, pid=1\n",
    b"3,5,4000000,-;NVRM: The NVIDIA GPU 0000:b3:00.0\\x0aNVRM: (PCI ID: 10de:26b5) has fallen off the bus\n",
    b"3,6,5000000,-;NVRM: Xid (PCI:0000:3b:00): 13, name=\\xff\\xfe\n",
]

READ = """
import json, os, sys, time
from gpualloc.node import kernel_journal
from gpualloc.node.kernel_log import KernelLog

kernel_journal.EVERY_S = 0.0
kernel_journal._WITHIN_S = 600.0
journal = kernel_journal.Journal()
log = KernelLog(frozenset, "/none", journal)
nothing = log.look()
pipe = os.open("/dev/kmsg", os.O_WRONLY)
for record in json.loads(sys.argv[1]):
    before = journal._cursor
    os.write(pipe, record.encode("latin-1"))
    deadline = time.monotonic() + 60
    while journal._cursor == before:
        assert time.monotonic() < deadline, record
        told = log.look()
print(json.dumps([nothing, told]))
"""


@pytest.mark.skipif(os.geteuid() != 0 or not Path(JOURNALD).exists(), reason="needs root and a systemd-journald")
def test_a_real_journal_tells_what_the_log_would(tmp_path):
    records = json.dumps([record.decode("latin-1") for record in RECORDS])
    with own_mounts(SYSTEM) as inside:
        command = [*inside, sys.executable, "-c", READ, records]
        told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    nothing, by_journal = json.loads(told.stdout)
    assert nothing == {"messages": [], "reason": "/none cannot be read: No such file or directory"}
    assert by_journal["reason"] is None

    file = tmp_path / "kmsg"
    file.write_bytes(b"".join(RECORDS))
    by_log = KernelLog(frozenset, str(file)).look()
    without_time = [[{**message, "at_s": None} for message in one["messages"]] for one in (by_log, by_journal)]
    assert without_time[0] == without_time[1]
    assert [message["code"] for message in by_log["messages"]] == [79, 79, 48, None, 13]
