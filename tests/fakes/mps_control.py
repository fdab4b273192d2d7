"""A stand-in for `nvidia-cuda-mps-control`: a daemon per pipe folder that knows servers, clients and `quit`.

Run as `nvidia-cuda-mps-control`: `-d` starts the daemon, `-v` tells the version, anything else is read from stdin.
Clients are files named by their pid in the pipe folder (`client.<pid>`), as tests put them there.
"""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

NAME = "nvidia-cuda-mps-control"
SOURCE = Path(__file__)
PYTHON = "/usr/bin/python3" if os.access("/usr/bin/python3", os.X_OK) else sys.executable
"""One that other accounts may run too."""


def install(folder: Path, *, version: str = "CUDA MPS version 580.95") -> Path:
    """Put it into a folder for PATH, speaking as that version; returns the program."""
    program = folder / NAME
    program.write_text(f"#!{PYTHON}\nVERSION = {version!r}\n" + SOURCE.read_text().partition("# ---- program\n")[2])
    program.chmod(0o755)
    return program


# ---- program
import os  # noqa: E402
import socket  # noqa: E402, F811
import sys  # noqa: E402
from pathlib import Path  # noqa: E402


def main() -> int:
    pipes = Path(os.environ["CUDA_MPS_PIPE_DIRECTORY"])
    control = pipes / "control"
    if sys.argv[1:] == ["-v"]:
        print(VERSION)  # noqa: F821
        return 0
    if sys.argv[1:] == ["-d"]:
        return serve(control)
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(control))
        except OSError:
            print("Cannot find MPS control daemon process")
            return 1
        client.sendall(sys.stdin.buffer.read())
        client.shutdown(socket.SHUT_WR)
        answer = received(client)
    sys.stdout.write(answer.decode())
    return 0


def received(peer: socket.socket) -> bytes:
    data = b""
    while piece := peer.recv(4096):
        data += piece
    return data


def serve(control: Path) -> int:
    (control.parent / "environment").write_text(os.environ.get("CUDA_VISIBLE_DEVICES", ""))
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(control))
    listener.listen()
    if os.fork():
        os._exit(0)
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    while True:
        peer, _ = listener.accept()
        words = received(peer).decode().split()
        clients = sorted(path.name.partition(".")[2] for path in control.parent.glob("client.*"))
        answers = {
            "get_server_list": [str(os.getpid())] if clients else [],
            "get_client_list": clients,
        }
        peer.sendall("\n".join(answers.get(words[0], [])).encode() + b"\n")
        if words[0] == "quit":
            control.unlink()
            os._exit(0)
        peer.close()


if __name__ == "__main__":
    sys.exit(main())
