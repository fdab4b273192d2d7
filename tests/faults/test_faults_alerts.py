"""Channels that fail in every way a network and a program can: nothing stalls, nothing is lost, no secret gets out."""

import hashlib
import hmac
import json
import os
import socket
import sys
import threading
import time

import pytest
from fakes.command import wait_until
from fakes.webhook_receiver import certificate, receiver, status

from gpualloc.adapters import webhook
from gpualloc.adapters.alert_channels import ChannelMessenger, Patience
from gpualloc.model.alert import Channel, Notice

NOTICE = Notice("0" * 32, "hook", 1_800_000_000.0, json.dumps({"format": 1, "id": "0" * 32, "alerts": []}))
SOON = Patience(first_s=0.01, longest_s=0.05)
LONG_S = 60.0
"""Longer than anything here may take; only what hangs for ever reaches it."""


def hook(url, **changes):
    return Channel(**{"name": "hook", "url": url, "timeout_s": LONG_S, **changes})


def program(script, **changes):
    return Channel(**{"name": "hook", "command": (sys.executable, "-c", script), "timeout_s": LONG_S, **changes})


@pytest.fixture
def messenger():
    made = []

    def make(channel, patience=SOON):
        made.append(ChannelMessenger({"hook": channel}, patience))
        return made[-1]

    yield make
    for each in made:
        each.close()


def ended(messenger, count=1):
    """The next deliveries that ended, once there are so many."""
    found = []
    wait_until(lambda: found.extend(messenger.ended()) or len(found) >= count, "a delivery ended")
    return found


def test_it_is_signed_and_says_what_it_is(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("s3cret\nnot this\n")
    secret.chmod(0o600)
    with receiver() as got:
        posted = webhook.post(hook(got.url + "?team=a", secret_file=str(secret)), NOTICE)
    assert (posted.problem, posted.answer) == (None, "HTTP 200")
    (request,) = got.got
    assert request.path == "/hook?team=a"
    assert request.body == NOTICE.document.encode()
    assert request.headers["Idempotency-Key"] == NOTICE.id
    assert request.headers["Content-Type"] == "application/json"
    stamp, _, mark = request.headers["X-Gpualloc-Signature"].partition(",")
    wanted = hmac.new(b"s3cret", stamp.removeprefix("t=").encode() + b"." + request.body, hashlib.sha256).hexdigest()
    assert mark == f"v1={wanted}"


def test_the_secret_may_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("PAGER_SECRET", "s3cret")
    with receiver() as got:
        assert webhook.post(hook(got.url, secret_variable="PAGER_SECRET"), NOTICE).problem is None
    assert "X-Gpualloc-Signature" in got.got[0].headers


@pytest.mark.parametrize(
    ("content", "mode", "problem"),
    [("s3cret", 0o640, "may be read by others"), ("\ns3cret", 0o600, "empty first line"), (None, 0, "No such file")],
)
def test_nothing_is_sent_without_the_secret_and_nothing_of_it_is_told(tmp_path, content, mode, problem):
    secret = tmp_path / "secret"
    if content is not None:
        secret.write_text(content)
        secret.chmod(mode)
    with receiver() as got:
        posted = webhook.post(hook(got.url, secret_file=str(secret)), NOTICE)
    assert problem in posted.problem
    assert "s3cret" not in posted.problem
    assert not got.got


def test_an_unset_variable_is_named():
    posted = webhook.post(hook("http://127.0.0.1:1/", secret_variable="NOT_SET_HERE"), NOTICE)
    assert "NOT_SET_HERE" in posted.problem


def test_errors_are_tried_again_in_order_with_the_same_key(messenger):
    with receiver(status(500), status(503), status(429), status(200)) as got:
        sender = messenger(hook(got.url))
        second = Notice("1" * 32, "hook", NOTICE.at_s, "{}")
        sender.begin([NOTICE, second])
        found = ended(sender, 2)
    assert [(each.notice.id, each.problem) for each in found] == [(NOTICE.id, None), (second.id, None)]
    assert [each.headers["Idempotency-Key"] for each in got.got] == [NOTICE.id] * 4 + [second.id]


@pytest.mark.parametrize("code", [400, 404, 410, 301, 302])
def test_what_would_always_be_refused_is_given_up(messenger, code):
    with receiver(status(code, b"go away")) as got:
        sender = messenger(hook(got.url))
        sender.begin([NOTICE])
        (found,) = ended(sender)
    assert found.problem == f"answered {code}"
    assert found.answer == f"HTTP {code}: go away"
    assert len(got.got) == 1


def test_a_redirect_within_the_host_is_followed_and_no_other():
    with receiver(status(307, Location="/other"), status(200)) as got:
        assert webhook.post(hook(got.url), NOTICE).problem is None
        assert [each.path for each in got.got] == ["/hook", "/other"]
        assert got.got[1].body == NOTICE.document.encode()
        with receiver(status(308, Location=got.url)) as other:
            posted = webhook.post(hook(other.url), NOTICE)
    assert (posted.problem, posted.lasting) == ("answered 308", True)
    assert "another host" in posted.answer
    assert len(got.got) == 2


@pytest.mark.parametrize("where", ["/hook", "http://[", "//\x00"])
def test_a_redirect_without_end_or_sense_ends(where):
    with receiver(status(307, Location=where)) as got:
        posted = webhook.post(hook(got.url), NOTICE)
    assert posted.problem is not None
    assert len(got.got) <= webhook.MAX_REDIRECTS + 1


def test_who_never_answers_is_left_at_the_deadline():
    def hang(handler):
        got.leave.wait(LONG_S)

    with receiver(hang) as got:
        assert webhook.post(hook(got.url, timeout_s=0.3), NOTICE).problem == "no answer in 0.3 s"


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n"])
def test_who_answers_drop_by_drop_is_left_at_the_deadline(head):
    def trickle(handler):
        handler.wfile.write(head)
        while not got.leave.wait(0.02):
            handler.wfile.write(b"X")

    with receiver(trickle) as got:
        assert webhook.post(hook(got.url, timeout_s=0.5), NOTICE).problem == "no answer in 0.5 s"


def test_an_endless_answer_is_read_to_its_bound():
    def flood(handler):
        handler.send_response(200)
        handler.end_headers()
        while not got.leave.is_set():
            handler.wfile.write(b"x" * 65536)

    with receiver(flood) as got:
        posted = webhook.post(hook(got.url), NOTICE)
    assert posted.problem is None
    assert len(posted.answer) < webhook.MAX_ANSWER_BYTES


@pytest.mark.parametrize(
    "said", [b"SSH-2.0-x\r\n", b"\x00" * 100, b"HTTP/1.1 99999 ?\r\n\r\n", b"", b"H" * 70_000 + b"\r\n"]
)
def test_who_speaks_something_else_is_a_failure(said):
    def answer(handler):
        handler.wfile.write(said)
        handler.close_connection = True

    with receiver(answer) as got:
        posted = webhook.post(hook(got.url), NOTICE)
    assert posted.problem
    assert not posted.lasting


def test_nobody_there_is_a_failure():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        posted = webhook.post(hook(f"http://127.0.0.1:{taken.getsockname()[1]}/"), NOTICE)
    assert posted.problem == "connection refused"
    assert webhook.post(hook("http://no-such-host.invalid/"), NOTICE).problem


def test_tls_must_be_vouched_for(tmp_path, monkeypatch):
    made = certificate(tmp_path)
    with receiver(tls=made) as got:
        posted = webhook.post(hook(got.url), NOTICE)
        assert "certificate is not trusted" in posted.problem
        assert not got.got
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
        assert webhook.post(hook(got.url), NOTICE).problem is None
        wrong = got.url.replace("127.0.0.1", "localhost")
        assert "certificate is not trusted" in webhook.post(hook(wrong), NOTICE).problem


def test_a_tls_handshake_that_never_comes_is_left_at_the_deadline():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://127.0.0.1:{silent.getsockname()[1]}/"
        assert webhook.post(hook(url, timeout_s=0.3), NOTICE).problem == "no answer in 0.3 s"


def test_a_program_gets_the_document_and_little_else(messenger, tmp_path, monkeypatch):
    monkeypatch.setenv("PAGER_SECRET", "s3cret")
    out = tmp_path / "out"
    script = (
        f"import os, sys, json; json.dump([sys.stdin.read(), dict(os.environ)], open({str(out)!r}, 'w')); print('told')"
    )
    sender = messenger(program(script))
    sender.begin([NOTICE])
    (found,) = ended(sender)
    assert (found.problem, found.answer.strip()) == (None, "told")
    told, environment = json.loads(out.read_text())
    assert told == NOTICE.document
    assert not {"PAGER_SECRET", "GPUALLOC_NODE_STATE_DIR"} & environment.keys()


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("import sys; print('x' * 10**7); sys.exit(3)", "exit code 3"),
        ("import time; time.sleep(600)", "no answer in 0.5 s"),
        ("while True: print('x' * 65536)", "no answer in 0.5 s"),
        ("import os; os.kill(os.getpid(), 9)", "ended by signal 9"),
    ],
)
def test_a_program_that_fails_is_told(messenger, script, problem):
    timeout_s = 0.5 if "no answer" in problem else LONG_S
    delivered = messenger(program(script, timeout_s=timeout_s)).attempt(NOTICE)
    assert delivered.problem == problem
    assert len(delivered.answer) <= 4096


def test_a_program_that_is_not_there_is_told(messenger):
    channel = Channel("hook", command=("/no/such/program",))
    assert messenger(channel).attempt(NOTICE).problem == "/no/such/program cannot be run: No such file or directory"


def test_a_program_is_tried_until_it_works(messenger, tmp_path):
    mark = tmp_path / "tries"
    script = (
        f"import sys; f = open({str(mark)!r}, 'a+'); f.write('x'); f.flush(); f.seek(0); sys.exit(len(f.read()) < 3)"
    )
    sender = messenger(program(script))
    sender.begin([NOTICE])
    (found,) = ended(sender)
    assert found.problem is None
    assert mark.read_text() == "xxx"


def test_a_storm_is_bounded_and_what_is_dropped_is_told(messenger):
    def hang(handler):
        got.leave.wait(LONG_S)

    with receiver(hang) as got:
        sender = messenger(hook(got.url), Patience(most_waiting=5))
        sender.begin([Notice(f"{at:032}", "hook", NOTICE.at_s, "{}") for at in range(12)])
        dropped = ended(sender, 7)
        assert {each.problem for each in dropped} == {"dropped: 5 others wait before it"}
        assert [int(each.notice.id) for each in dropped] == list(range(5, 12))


def test_a_channel_that_hangs_keeps_no_other_from_telling(tmp_path):
    out = tmp_path / "out"
    both = {
        "slow": Channel("slow", command=(sys.executable, "-c", "import time; time.sleep(600)"), timeout_s=LONG_S),
        "quick": Channel("quick", command=(sys.executable, "-c", f"open({str(out)!r}, 'w')")),
    }
    sender = ChannelMessenger(both)
    sender.begin([Notice("1", "slow", 0.0, "{}"), Notice("2", "quick", 0.0, "{}")])
    (found,) = ended(sender)
    assert found.notice.channel == "quick"
    assert not sender.rest(0.0)
    sender.close()
    assert not [each for each in threading.enumerate() if each.name.startswith("channel ")]


def test_what_failed_is_not_waited_for(messenger):
    with receiver(status(500)) as got:
        sender = messenger(hook(got.url), Patience(first_s=LONG_S, longest_s=LONG_S))
        sender.begin([NOTICE])
        assert sender.rest(LONG_S)
        assert len(got.got) == 1
        assert sender.ended() == ()


def test_it_is_given_up_after_its_time(messenger):
    with receiver(status(500)) as got:
        sender = messenger(hook(got.url), Patience(first_s=0.01, longest_s=0.01, give_up_s=0.05))
        sender.begin([NOTICE])
        (found,) = ended(sender)
    assert found.problem == "answered 500"
    assert len(got.got) > 1


def test_a_channel_that_is_gone_is_told(messenger):
    sender = messenger(hook("http://127.0.0.1:1/"))
    sender.begin([Notice("1", "old", 0.0, "{}")])
    (found,) = sender.ended()
    assert found.problem == "no channel of that name is configured"


def test_closing_kills_the_program_under_way(tmp_path):
    mark = tmp_path / "pid"
    script = f"import os, time; open({str(mark)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    sender = ChannelMessenger({"hook": program(script, timeout_s=600.0)})
    sender.begin([NOTICE])
    wait_until(lambda: mark.exists() and mark.read_text(), "the program runs")
    sender.close()

    def gone():
        try:
            os.kill(int(mark.read_text()), 0)
        except ProcessLookupError:
            return True
        return False

    wait_until(gone, "the program is killed")
    assert sender.ended() == ()


def test_the_wait_doubles_up_to_its_ceiling():
    patience = Patience(first_s=1.0, longest_s=300.0)
    for failures in (1, 2, 5, 9, 1000):
        whole = min(300.0, 2.0 ** (failures - 1))
        assert all(whole / 2 <= patience.wait_s(failures) <= whole for _ in range(50))


def test_begin_returns_at_once(messenger):
    began = threading.Event()

    def hang(handler):
        began.set()
        got.leave.wait(LONG_S)

    with receiver(hang) as got:
        sender = messenger(hook(got.url))
        sender.begin([NOTICE])
        assert began.wait(LONG_S)
        before = time.monotonic()
        sender.begin([Notice("1" * 32, "hook", 0.0, "{}")])
        assert time.monotonic() - before < LONG_S / 2
