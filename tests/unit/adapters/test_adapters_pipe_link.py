"""The link over a child process: in order, bounded, never stuck."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest
from fakes.scripted_node import ScriptedLaunch

from gpualloc.adapters.backoff import BackOff
from gpualloc.adapters.link import Failure, LinkCutError, LinkDownError
from gpualloc.adapters.pipe_link import MAX_NOISE_BYTES, PipeLink
from gpualloc.model.inventory import NodeState
from gpualloc.node.wire import MAX_LINE_BYTES, request

DEADLINE_S = 60.0
ECHO = request(1, "echo", {})


def no_pause() -> BackOff:
    return BackOff(first_s=0.0, ceiling_s=0.0)


@pytest.fixture
def made():
    links = []

    def make(launch=None, back_off=None):
        links.append(PipeLink("n", launch or ScriptedLaunch(), back_off or no_pause()))
        return links[-1]

    yield make
    for link in links:
        link.close()


def test_requests_are_answered_in_their_order(made):
    answers = made().exchange([request(n, "echo", {"n": n}) for n in (7, 3, 9)], DEADLINE_S)
    assert [answer["ok"]["args"]["n"] for answer in answers] == [7, 3, 9]


def test_requests_and_answers_larger_than_the_pipes_do_not_block_each_other(made):
    text = "x" * 500_000
    answers = made().exchange([request(n, "echo", {"text": text}) for n in range(8)], DEADLINE_S)
    assert all(answer["ok"]["args"]["text"] == text for answer in answers)


def test_one_child_serves_many_exchanges(made):
    link = made()
    assert len({link.exchange([ECHO], DEADLINE_S)[0]["ok"]["pid"] for _ in range(5)}) == 1
    assert link.connection == 1


def test_a_child_can_be_started_ahead(made):
    launch = ScriptedLaunch()
    link = made(launch)
    link.begin()
    link.begin()
    assert launch.starts == 1
    assert link.exchange([ECHO], DEADLINE_S) == link.exchange([ECHO], DEADLINE_S)
    assert (launch.starts, link.connection) == (1, 1)


def test_a_start_ahead_that_fails_is_reported_when_it_matters(made):
    link = made(ScriptedLaunch(before="sys.exit('broken')"))
    link.begin()
    with pytest.raises(LinkDownError, match="broken"):
        link.exchange([ECHO], DEADLINE_S)


def test_a_child_started_ahead_and_never_used_is_let_go_of(made):
    link = made()
    link.begin()
    pid = link._child.pid
    link.close()
    wait_until(lambda: not is_alive(pid))
    link.begin()
    assert link._child is None


def test_threads_take_turns(made):
    link = made()
    found = []

    def ask(number: int) -> None:
        found.append(link.exchange([request(number, "echo", {"n": number})], DEADLINE_S)[0]["ok"]["args"]["n"])

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == list(range(16))


def test_the_child_does_not_share_our_session(made):
    link = made()
    pid = link.exchange([ECHO], DEADLINE_S)[0]["ok"]["pid"]
    assert os.getsid(pid) == pid != os.getsid(0)


def test_a_hung_program_is_replaced(made):
    link = made()
    pid = link.exchange([ECHO], DEADLINE_S)[0]["ok"]["pid"]
    with pytest.raises(LinkCutError) as caught:
        link.exchange([request(1, "hang")], 0.3)
    assert caught.value.failure.state is NodeState.HUNG
    assert link.exchange([ECHO], DEADLINE_S)[0]["ok"]["pid"] != pid
    wait_until(lambda: not is_alive(pid))
    assert link.connection == 2


def test_a_program_that_ends_in_a_call_is_cut_with_its_last_words(made):
    link = made()
    with pytest.raises(LinkCutError, match="ended with status 3: no room") as caught:
        link.exchange([request(1, "die", {"status": 3, "last_words": "first\nno room\n\n"})], DEADLINE_S)
    assert caught.value.failure.state is NodeState.FAILED


def test_a_program_that_was_killed_says_by_which_signal(made, tmp_path):
    link = made()
    pid = link.exchange([ECHO], DEADLINE_S)[0]["ok"]["pid"]

    def kill() -> None:
        wait_until((tmp_path / "hung").exists)
        os.kill(pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(LinkCutError, match="signal 9"):
        link.exchange([request(1, "hang", {"file": str(tmp_path / "hung")})], DEADLINE_S)
    killer.join()


def test_a_program_that_died_unasked_is_replaced_without_a_failure(made):
    link = made()
    pid = link.exchange([ECHO], DEADLINE_S)[0]["ok"]["pid"]
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not is_alive(pid))
    assert link.exchange([ECHO], DEADLINE_S)[0]["ok"]["pid"] != pid


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not json",
        "[]",
        '{"id": 2, "ok": {}}',
        '{"id": 1}',
        '{"id": 1, "ok": {}, "error": {}}',
        "\x1b[31m{}",
    ],
)
def test_an_answer_that_is_not_the_end_record_fails_the_node(made, text):
    with pytest.raises(LinkCutError) as caught:
        made().exchange([request(1, "garbage", {"text": text})], DEADLINE_S)
    assert caught.value.failure.state is NodeState.FAILED


def test_an_answer_nested_without_end_fails_the_node(made):
    with pytest.raises(LinkCutError, match="not JSON"):
        made().exchange([request(1, "garbage", {"text": "[" * 200_000})], DEADLINE_S)


def test_an_endless_line_is_refused(made):
    before = (
        f"sys.stdout.write('GPUALLOC-NODE 3 ' + NONCE + '\\n' + 'x' * {MAX_LINE_BYTES + 2**20}); sys.stdout.flush()"
    )
    with pytest.raises(LinkCutError, match="longer than"):
        made(ScriptedLaunch(before=before)).exchange([ECHO], DEADLINE_S)


def test_noise_is_skipped_up_to_a_bound(made):
    lines = "print('Welcome\\nGPUALLOC-NODE 3 0123\\n' + 'x' * 1000, end='')"
    with pytest.raises(LinkDownError, match="bytes before the node program"):
        made(ScriptedLaunch(before=f"print('noise\\n' * {MAX_NOISE_BYTES // 5})")).exchange([ECHO], DEADLINE_S)
    assert made(ScriptedLaunch(before=lines)).exchange([ECHO], DEADLINE_S)


def test_another_wire_version_is_named(made):
    launch = ScriptedLaunch(before="print('GPUALLOC-NODE 99 ' + NONCE)")
    with pytest.raises(LinkDownError, match="speaks wire version 99") as caught:
        made(launch).exchange([ECHO], DEADLINE_S)
    assert caught.value.failure.state is NodeState.FAILED


def test_a_program_that_cannot_be_run_is_down(made):
    launch = ScriptedLaunch()
    launch.argv = lambda nonce: ["/nonexistent/program"]
    with pytest.raises(LinkDownError, match="cannot be run: No such file"):
        made(launch).exchange([ECHO], DEADLINE_S)


def test_a_program_that_never_speaks_is_hung(made):
    with pytest.raises(LinkDownError, match="did not answer in time") as caught:
        made(ScriptedLaunch(before="import time; time.sleep(3600)")).exchange([ECHO], 0.3)
    assert caught.value.failure.state is NodeState.HUNG


def test_a_mark_that_means_failure_ends_the_start(made):
    launch = ScriptedLaunch(before="print('GPUALLOC-STUB no-python ' + NONCE + ' a b')")
    launch.reply = lambda word, detail: Failure(NodeState.NO_PYTHON, f"{word}: {detail}")
    with pytest.raises(LinkDownError, match="no-python: a b") as caught:
        made(launch).exchange([ECHO], DEADLINE_S)
    assert caught.value.failure.state is NodeState.NO_PYTHON


def test_a_failing_program_is_left_alone_for_a_while(made):
    launch = ScriptedLaunch(before="sys.exit('broken')")
    link = made(launch, BackOff(first_s=3600, ceiling_s=3600))
    messages = set()
    for _ in range(3):
        with pytest.raises(LinkDownError, match="broken") as caught:
            link.exchange([ECHO], DEADLINE_S)
        messages.add(caught.value.message)
    assert launch.starts == 1
    assert len(messages) == 1


def test_a_program_that_answered_before_is_replaced_at_once_when_it_dies(made):
    link = made(back_off=BackOff(first_s=3600, ceiling_s=3600))
    link.exchange([ECHO], DEADLINE_S)
    with pytest.raises(LinkCutError):
        link.exchange([request(1, "die")], DEADLINE_S)
    assert link.exchange([ECHO], DEADLINE_S)


@pytest.mark.parametrize("before", ["", "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)"])
def test_close_ends_a_busy_program_and_the_thread_that_waits_for_it(before, tmp_path):
    link = PipeLink("n", ScriptedLaunch(before=before), no_pause())
    pid = link.exchange([ECHO], DEADLINE_S)[0]["ok"]["pid"]
    errors = []

    def hang() -> None:
        try:
            link.exchange([request(1, "hang", {"file": str(tmp_path / "hung")})], DEADLINE_S)
        except LinkCutError as error:
            errors.append(error)

    thread = threading.Thread(target=hang)
    thread.start()
    wait_until((tmp_path / "hung").exists)
    link.close()
    thread.join(timeout=60)
    assert not thread.is_alive()
    assert len(errors) == 1
    wait_until(lambda: not is_alive(pid))
    with pytest.raises(LinkDownError, match="closed"):
        link.exchange([ECHO], DEADLINE_S)


def test_close_lets_an_idle_program_end_by_itself():
    link = PipeLink("n", ScriptedLaunch())
    pid = link.exchange([ECHO], DEADLINE_S)[0]["ok"]["pid"]
    link.close()
    link.close()
    wait_until(lambda: not is_alive(pid))


def wait_until(condition) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "never came true"
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0] != "Z"
