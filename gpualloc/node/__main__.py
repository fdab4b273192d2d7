"""`python -m gpualloc.node [serve [--nonce N]]`: serve the wire on stdin and stdout."""

import gc
import os
import sys

_USAGE = "usage: python -m gpualloc.node [serve [--nonce N]]\n"


def main(arguments: "list[str]") -> None:
    """Serve until stdin ends. Never returns: a reading that hangs must not keep the process."""
    rest = arguments[1:] if arguments[:1] == ["serve"] else arguments
    nonce = "-"
    if len(rest) == 2 and rest[0] == "--nonce" and rest[1].isalnum() and len(rest[1]) <= 64:
        nonce = rest[1]
    elif rest:
        sys.stderr.write(_USAGE)
        sys.stderr.flush()
        os._exit(2)

    # As the head does: the first answer is not held up by a search through what was just imported.
    gc.set_threshold(100000)
    from gpualloc.node.machine import this_host
    from gpualloc.node.server import Server
    from gpualloc.node.stream import serve

    machine, ledger = this_host()
    stream = serve(Server(machine, ledger), 0, 1, nonce, machine.state_dir)
    if stream.keeps:
        # Whatever carried the connection must not be held up by what goes on without it.
        nothing = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(nothing, descriptor)
        stream.keep()
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
