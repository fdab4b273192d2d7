"""The operator at three in the morning: odd terminals, closed streams, mistyped things. Never a traceback."""

import os
import signal
import subprocess
import sys

import pytest
from fakes.command import wait_until

GPUALLOC = f"{sys.executable} -m gpualloc"


def shell(command, line, **env):
    """Run a line of shell in the world of the command."""
    return subprocess.run(
        ["/bin/sh", "-c", line],
        env={**command.env, **env},
        capture_output=True,
        stdin=subprocess.DEVNULL,
        timeout=60,
        check=False,
    )


def test_a_locale_without_our_characters_shows_escapes(sim):
    done = shell(sim, f"{GPUALLOC} nodes", PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"birch01" in done.stdout
    assert done.stdout.isascii()


def test_stdout_on_a_full_disk_is_told(sim):
    for verb in ("nodes", "nodes --json", "nope --json"):
        done = shell(sim, f"{GPUALLOC} {verb} > /dev/full")
        assert done.returncode in (1, 2)
        assert b"internal error" not in done.stderr
        assert b"Traceback" not in done.stderr
    assert b"No space left" in shell(sim, f"{GPUALLOC} nodes > /dev/full").stderr


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_cost_nothing_but_what_they_would_have_shown(sim, closed):
    assert shell(sim, f"{GPUALLOC} submit --name x -- true {closed}").returncode == 0
    assert [row["name"] for row in sim.json("ps")["workloads"]] == ["x"]


def test_a_reader_that_leaves_early_is_no_failure_to_talk_about(sim):
    done = shell(sim, f"{GPUALLOC} nodes --json | head -1")
    assert (done.stdout, done.stderr) == (b"{\n", b"")


def test_numbers_are_told_as_they_were_written(sim):
    assert "99999999999999999999 is out of range" in sim.run("submit", "--gpus", "9" * 20, "--", "true", check=2).stderr


def test_a_relative_working_directory_is_refused(sim):
    assert "beginning with /" in sim.run("submit", "--cwd", "data", "--", "true", check=2).stderr


def test_history_of_an_unknown_node_is_an_error_and_of_nothing_says_what_to_do(sim):
    assert "birch01" in sim.run("history", "--node", "birch1", check=2).stderr
    assert "gpualloc sample" in sim.run("history").stdout


def test_a_name_is_shown_once_escaped_and_cut(sim):
    name = "new\nline \x1b[31m \u202e" + "x" * 150
    sim.run("submit", f"--name={name}", "--", "true")
    text = sim.run("plan").stdout
    assert "new\\nline \\x1b[31m \\u202e" in text
    assert "\\\\n" not in text
    assert max(map(len, text.splitlines())) <= 80
    assert sim.json("ps")["workloads"][0]["name"] == name


def test_a_device_in_mig_mode_without_instances_is_not_called_free(tmp_path, sim):
    file = tmp_path / "mig.toml"
    file.write_text(
        '[[nodes]]\nname = "m1"\ngpus = ["H100-80GB"]\ncpus = 8\nmemory_gib = 64\ndriver = "550.54.15"\nmig = [0]\n'
    )
    text = sim.run("nodes", "--sim", str(file)).stdout
    assert "MIG" in text
    assert "no instances" in text
    assert "free\n" not in text.split("gpu  model")[1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_told_to_stop_releases_its_work(world, number):
    running = world.start("run", "--gpus", "1", "--", "sleep", "600")
    wait_until(lambda: [row["state"] for row in world.json("ps")["workloads"]] == ["running"], "it runs")
    running.send_signal(number)
    _, err = running.communicate(timeout=60)
    assert (running.returncode, world.claims()) == (130, []), err
    assert [row["state"] for row in world.json("ps")["workloads"]] == ["released"]


def test_home_is_not_needed(sim):
    bare = {key: value for key, value in sim.env.items() if key not in ("HOME", "XDG_CONFIG_HOME")}
    done = subprocess.run(
        [sys.executable, "-m", "gpualloc", "status"], env=bare, capture_output=True, cwd=os.sep, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
