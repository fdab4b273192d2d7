"""A node program that speaks the wire and misbehaves on demand, for tests of what lies between.

It answers from its script (`answers`) and obeys a few verbs of its own:

- `echo`: answers its args and its pid.
- `hang`: stops reading and answering for good, having made the file `args.file` if one is named.
- `die`: ends with `args.status`, having said `args.last_words` on stderr.
- `garbage`: writes `args.text` as a line instead of an end record.
- `refuse`: answers an error record with `args`.

While the file `fault` of its state folder (`GPUALLOC_NODE_STATE_DIR`) holds one of these words, `sample` goes wrong:
`half` (half a line, then silence), `drip` (a byte at a time), `long` (a line of 10 MB), `noise` (a line that is no
answer before the answer), `deaf` (neither reads nor answers). It makes the file `reached` then.
"""

from __future__ import annotations

import hashlib
import io
import json
import sys
import zipfile
from collections.abc import Mapping, Sequence

from gpualloc.adapters.archive import Archive
from gpualloc.adapters.link import Failure
from gpualloc.adapters.local import program_ended

GPU = "GPU-00000000-0000-4000-8000-000000000001"
MIG = "MIG-00000000-0000-4000-8000-000000000002"

ANSWERS: Mapping[str, object] = {
    "hello": {
        "wire": 3,
        "version": "0",
        "hostname": "scripted",
        "boot_id": "b00t",
        "pid": 1,
        "uid": 0,
        "user": "root",
        "python": "3.6.15",
        "privileged": False,
        "state_dir": "/nowhere",
        "nvml": {"state": "ok", "reason": None, "driver_version": "550.54", "library_version": "12.550.54"},
        "cgroup": {"mode": "v2", "controllers": ["cpu", "memory"], "writable": True},
        "other_controllers": [],
    },
    "inventory": {
        "devices": [
            {
                "uuid": GPU,
                "index": 0,
                "minor": 3,
                "model": "NVIDIA H100 80GB HBM3",
                "memory_total_mib": 81559,
                "mig_enabled": True,
                "mig_pending": True,
                "mig_instances": [{"uuid": MIG, "profile": "1g.10gb", "start": 0, "size": 1, "memory_total_mib": 9984}],
                "state": "ok",
                "reason": None,
                "unavailable": {},
            }
        ],
        "host": {"cpus": 8, "memory_total_mib": 16000, "disk_total_mib": 100000},
    },
    "sample": {
        "at_s": 1000.0,
        "devices": [
            {
                "uuid": GPU,
                "state": "ok",
                "reason": None,
                "memory_used_mib": 512,
                "gpu_utilization_ratio": None,
                "memory_utilization_ratio": 0.25,
                "power_w": 101.5,
                "power_limit_w": 700.0,
                "temperature_c": 41,
                "sm_clock_mhz": 1980,
                "mig_instances": [{"uuid": MIG, "memory_used_mib": 12}],
                "unavailable": {"gpu_utilization_ratio": "mig"},
            }
        ],
        "host": {
            "cpu_utilization_ratio": 0.5,
            "memory_available_mib": 8000,
            "disk_used_mib": 50000,
            "network_rx_bytes_per_s": 10.5,
            "network_tx_bytes_per_s": None,
        },
    },
    "kernel": {"messages": [], "reason": None},
    "processes": {
        "processes": [
            {
                "pid": 4242,
                "device": GPU,
                "mig_instance": None,
                "gpu_memory_used_mib": 500,
                "user": "ada",
                "command": "python \u001b[31mtrain.py",
                "started_at_s": 900.0,
                "workload": "w0123abcd",
            }
        ]
    },
    "claims": {
        "claims": [
            {
                "device": GPU,
                "mig_instance": None,
                "workload": "w0123abcd",
                "controller": "c" * 32,
                "share": "exclusive",
                "fraction": 1.0,
                "memory_mib": None,
                "at_s": 899.0,
            }
        ],
        "workloads": [
            {
                "workload": "w0123abcd",
                "controller": "c" * 32,
                "attempt": 1,
                "pid": 4242,
                "started_at_s": 900.0,
                "held_by": {"gpu": "soft", "cpu": "hard", "memory": None, "pids": None},
                "log_bytes": 77,
                "end": {"exit_code": 137, "signal": 9, "oom": True, "at_s": 950.0, "reason": None},
            }
        ],
    },
    "events": {"changed": False},
}
"""A healthy node with one GPU in MIG mode, a process, a claim and a workload that was killed."""

_PROGRAM = """\
import json, os, sys, time
def go_wrong(answer):
    folder = os.environ.get("GPUALLOC_NODE_STATE_DIR", "")
    if not os.path.exists(os.path.join(folder, "fault")):
        return
    with open(os.path.join(folder, "fault")) as file:
        word = file.read()
    open(os.path.join(folder, "reached"), "w").close()
    if word == "half":
        sys.stdout.write(answer[:len(answer) // 2])
    if word == "drip":
        for byte in answer:
            sys.stdout.write(byte)
            sys.stdout.flush()
            time.sleep(0.05)
    if word == "long":
        sys.stdout.write("x" * 10_000_000 + "\\n")
    if word == "noise":
        sys.stdout.write("a fortune for today\\n")
    sys.stdout.flush()
    if word in ("half", "deaf"):
        time.sleep(3600)
NONCE = sys.argv[sys.argv.index("--nonce") + 1]
sys.stdout.write("GPUALLOC-NODE 3 %s\\n" % NONCE)
sys.stdout.flush()
for line in sys.stdin:
    message = json.loads(line)
    verb, args = message["verb"], message["args"]
    if verb == "hang":
        if "file" in args:
            open(args["file"], "w").close()
        time.sleep(3600)
    if verb == "die":
        sys.stderr.write(args.get("last_words", ""))
        sys.stderr.flush()
        os._exit(args.get("status", 1))
    record = {"id": message["id"], "ok": ANSWERS.get(verb, {})}
    if verb == "sample":
        go_wrong(json.dumps(record))
    if verb == "echo":
        record["ok"] = {"args": args, "pid": os.getpid(), "python": list(sys.version_info[:2]), "uid": os.getuid()}
    if verb == "refuse":
        record = {"id": message["id"], "error": args}
    sys.stdout.write(args["text"] if verb == "garbage" else json.dumps(record))
    sys.stdout.write("\\n")
    sys.stdout.flush()
"""


def program(answers: Mapping[str, object] = ANSWERS) -> str:
    """The source of the node program with its script."""
    return f"import json\nANSWERS = json.loads({json.dumps(json.dumps(answers))})\n{_PROGRAM}"


def scripted_archive(answers: Mapping[str, object] = ANSWERS) -> Archive:
    """The node program as ssh nodes get it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in (("__init__", ""), ("node/__init__", ""), ("node/__main__", program(answers))):
            archive.writestr(zipfile.ZipInfo(f"gpualloc/{name}.py"), text)  # with a fixed time
    data = buffer.getvalue()
    return Archive(data, hashlib.sha256(data).hexdigest())


class ScriptedLaunch:
    """Starts the node program here.

    `before` is Python that runs first, `NONCE` is known to it; `dies_at` is a verb to die at.
    """

    def __init__(self, answers: Mapping[str, object] = ANSWERS, before: str = "", dies_at: str = "die") -> None:
        source = program(answers).replace('verb == "die"', f'verb == "{dies_at}"')
        self._source = f"import sys\nNONCE = sys.argv[2]\n{before}\n{source}"
        self.starts = 0

    def argv(self, nonce: str) -> Sequence[str]:
        self.starts += 1
        return [sys.executable, "-I", "-S", "-c", self._source, "--nonce", nonce]

    def greeting(self, nonce: str) -> bytes:
        return b""

    def reply(self, word: str, detail: str) -> bytes | Failure:
        return b""

    def failure(self, status: int | None, stderr: str, last_mark: str | None) -> Failure:
        return program_ended(status, stderr)
