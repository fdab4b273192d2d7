"""Whether paths are there, and what becomes of those that never answer."""

import threading
import time

import pytest

from gpualloc.node import presence
from gpualloc.node.presence import Presence


def test_what_is_there_is_there_and_the_rest_is_not(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "file").write_text("x")
    (tmp_path / "loop").symlink_to("loop")
    names = ("data", "file", "none", "file/below", "loop", "x" * 300)
    paths = [str(tmp_path / name) for name in names]
    assert list(Presence().look([*paths, paths[0]]).values()) == [True, True, False, False, False, False]


class Mount:
    """Answers nothing below /hung until it is let go."""

    def __init__(self):
        self.asked = []
        self.back = threading.Event()

    def there(self, path):
        self.asked.append(path)
        if path.startswith("/hung"):
            self.back.wait()
        return True


@pytest.fixture
def mount(monkeypatch):
    monkeypatch.setattr(presence, "WITHIN_S", 0.2)
    mount = Mount()
    yield mount
    mount.back.set()


def test_a_path_that_hangs_is_unknown_and_asked_again_only_when_it_came_back(mount):
    look = Presence(mount.there).look
    assert look(["/hung/a", "/data"]) == {"/hung/a": None, "/data": True}
    assert look(["/hung/a", "/data"]) == {"/hung/a": None, "/data": True}
    assert mount.asked.count("/hung/a") == 1
    mount.back.set()
    until_s = time.monotonic() + 30
    while look(["/hung/a"]) != {"/hung/a": True}:
        assert time.monotonic() < until_s


def test_so_many_looks_may_hang_at_once_and_no_more(mount, monkeypatch):
    monkeypatch.setattr(presence, "_MAX_HUNG", 2)
    look = Presence(mount.there).look
    look(["/hung/a", "/hung/b"])
    assert look(["/data", "/hung/c"]) == {"/data": None, "/hung/c": None}
    assert "/hung/c" not in mount.asked
