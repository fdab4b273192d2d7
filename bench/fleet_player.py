"""A node that plays a film (`fleet_film`), with the time of now in every reading. Python 3.6, standard library only.

As a program it is what stands for `python -m gpualloc.node` on an ssh node: film.json beside it, its number in
BENCH_NODE. `Player` is what servers of many nodes use.
"""

import json
import os
import select
import sys
import time
from typing import Any


class Player:
    """One node. `now_s` is epoch seconds throughout."""

    def __init__(self, film: "dict[str, Any]", number: int) -> None:
        self._film = film
        self._number = number
        begins = sorted(map(int, film["wholes"]))
        self._tick = begins[number % len(begins)]
        self.every_s = 0.0
        self.due_s = None

    def answer(self, line: bytes, now_s: float) -> bytes:
        """What to say to a request for a stream; the first comes with the whole picture. A farewell has no answer."""
        request = json.loads(line.decode("ascii"))
        if "id" not in request:
            return b""
        began = self.due_s is not None
        self.every_s = request["args"]["every_s"]
        self.due_s = now_s + request["args"]["delay_s"]
        said = b'{"id":%d,"ok":{}}\n' % request["id"]
        return said if began else said + self._at(self._film["wholes"][str(self._tick)], self._tick, now_s)

    def change(self, now_s: float) -> bytes:
        """What changed since the last; due again a period later."""
        change = self._film["changes"][self._tick]
        self._tick = (self._tick + 1) % len(self._film["marks"])
        while self.due_s <= now_s:
            self.due_s += self.every_s
        return self._at(change, self._tick, now_s)

    def _at(self, line: str, tick: int, now_s: float) -> bytes:
        line = line.replace(self._film["marks"][tick], f"{now_s:.6f}", 1)
        for uuid in self._film["uuids"]:
            if uuid in line:
                line = line.replace(uuid, f"GPU-{self._number:08x}{uuid[12:]}")
        return line.encode("ascii")


def main() -> None:
    """Speak the wire on stdin and stdout until stdin ends."""
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "film.json"), encoding="ascii") as file:
        player = Player(json.load(file), int(os.environ["BENCH_NODE"]))
    _write(f"GPUALLOC-NODE {os.environ['BENCH_WIRE']} {sys.argv[-1]}\n".encode("ascii"))
    pending = b""
    while True:
        wait_s = None if player.due_s is None else max(0.0, player.due_s - time.time())
        readable, _, _ = select.select([0], [], [], wait_s)
        if not readable:
            _write(player.change(time.time()))
            continue
        data = os.read(0, 65536)
        if not data:
            return
        lines = (pending + data).split(b"\n")
        pending = lines.pop()
        for line in lines:
            _write(player.answer(line, time.time()))


def _write(data: bytes) -> None:
    while data:
        data = data[os.write(1, data) :]


if __name__ == "__main__":
    main()
