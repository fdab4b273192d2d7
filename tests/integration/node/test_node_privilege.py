"""What comes into work from the node program that starts it: nothing. And what its folder must be."""

import os
import pwd
import signal
import subprocess

import pytest

OTHER = "nobody" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name


def output_of(node, program, *command, **more):
    workload, told = node.start(program, *command, **more)
    assert "ok" in told, told
    program.end(workload)
    return program.output(workload)


def test_descriptors_environment_and_ignored_signals_stay_behind(any_node, monkeypatch):
    monkeypatch.setenv("A_SECRET", "s3cret")
    read_fd, write_fd = os.pipe()
    os.set_inheritable(write_fd, True)
    ignoring = "trap '' INT QUIT HUP USR1 TSTP; exec \"$@\""
    launcher = ["sh", "-c", ignoring, "sh", any_node.python, "-m", "gpualloc.node", "serve", "--nonce", "n"]
    original = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda *args, **more: original(*args, pass_fds=(write_fd,), **more))
    program = any_node.program(launcher)
    monkeypatch.setattr(subprocess, "Popen", original)
    assert str(write_fd) in os.listdir(f"/proc/{program.process.pid}/fd"), "the program itself has it"
    script = "echo /proc/self/fd/*; grep SigIgn /proc/self/status; env"
    lines = output_of(any_node, program, "sh", "-c", script, user=OTHER).splitlines()
    # The fourth is that of the folder which the shell reads for this.
    assert lines[0].split() == [f"/proc/self/fd/{number}" for number in range(4)]
    # The C library lets nobody touch the two signals of its threads, 32 and 33.
    assert int(lines[1].split()[1], 16) & ~(0b11 << 31) == 0
    names = {line.partition("=")[0] for line in lines[2:]}
    assert names <= {
        "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "PWD", "OLDPWD", "SHLVL", "_", "CUDA_DEVICE_ORDER",
        "CUDA_VISIBLE_DEVICES", "GPUALLOC_WORKLOAD",
    }  # fmt: skip
    os.close(read_fd)
    os.close(write_fd)


@pytest.mark.root
def test_groups_of_the_program_stay_behind_and_no_way_leads_back(any_node):
    program = any_node.program()
    script = (
        "import os; print(sorted(os.getgroups()), os.getresuid(), os.getresgid())\n"
        "for back in (os.setuid, os.setgid, os.seteuid):\n"
        "    try: back(0); print('root again')\n"
        "    except PermissionError: print('kept')\n"
    )
    nobody = pwd.getpwnam("nobody")
    told = output_of(any_node, program, "/usr/bin/python3", "-c", script, user="nobody").splitlines()
    groups = sorted(os.getgrouplist("nobody", nobody.pw_gid))
    assert told[0] == f"{groups} {(nobody.pw_uid,) * 3} {(nobody.pw_gid,) * 3}"
    assert told[1:] == ["kept"] * 3


@pytest.mark.root
def test_a_path_of_the_users_own_is_searched_as_the_user(node, tmp_path):
    program = node.program()
    tmp_path.chmod(0o755)
    (tmp_path / "tool").write_text("#!/bin/sh\nid -u\n")
    (tmp_path / "tool").chmod(0o755)
    hidden = tmp_path / "hidden"
    hidden.mkdir(mode=0o700)
    (hidden / "secret-tool").write_text("#!/bin/sh\nid -u\n")
    (hidden / "secret-tool").chmod(0o755)
    for folder in tmp_path.parents:
        if folder.name.startswith(("pytest-", "popen-")):
            folder.chmod(0o755)
    env = {"PATH": f"{tmp_path}:{hidden}:/usr/bin:/bin"}
    told = output_of(node, program, "tool", user="nobody", env=env)
    assert told == f"{pwd.getpwnam('nobody').pw_uid}\n"
    refused = node.start(program, "secret-tool", user="nobody", env=env)[1]["error"]
    assert refused["reason"] == "not-executable"
    refused = node.start(program, "pwd", user="nobody", cwd=str(hidden))[1]["error"]
    assert refused["reason"] == "no-command"
    assert "Permission denied" in refused["message"]


def test_a_folder_that_is_a_link_or_writable_by_others_is_refused(node, tmp_path):
    program = node.program()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    linked, open_to_all = node.workload(), node.workload()
    folders = node.state_dir / "workloads"
    folders.mkdir(parents=True, mode=0o700)
    (folders / linked).symlink_to(elsewhere)
    (folders / open_to_all).mkdir()
    (folders / open_to_all).chmod(0o777)
    for workload in (linked, open_to_all):
        refused = node.start(program, "true", workload=workload)[1]["error"]
        assert (refused["reason"], "not a folder of this account alone" in refused["message"]) == ("disk", True)
    assert list(elsewhere.iterdir()) == []
    (folders / linked).unlink()
    (folders / open_to_all).rmdir()


def test_linked_files_in_a_folder_are_not_followed(node, tmp_path):
    program = node.program()
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    for name in ("keeper", "log.00000000000000000000", "spec.json", "stop.json"):
        workload = node.workload()
        folder = node.state_dir / "workloads" / workload
        folder.mkdir(parents=True, mode=0o700)
        (folder / name).symlink_to(victim)
        told = node.start(program, "echo", "output", workload=workload)[1]
        assert victim.read_text() == "untouched"
        if "ok" in told:
            program.end(workload)
        else:
            (folder / name).unlink()


@pytest.mark.parametrize(
    "name", ["../../../etc/x", "w/../../xx", "w0000000/", "", "w00000001\n", "w00000001/x", "W00000001"]
)
def test_a_name_that_is_a_path_is_refused_by_every_verb(node, name):
    program = node.program()
    for kind in ("unclaim", "unlimit", "stop", "let-go"):
        assert program.call("do", kind, name, grace_s=1)["error"]["reason"] == "bad-request"
    assert node.start(program, "true", workload=name or "x" * 9)[1]["error"]["reason"] == "bad-request"
    assert program.ask("logs", workload=name, offset=0, limit=1)["error"]["reason"] == "bad-request"


def test_work_may_be_killed_for_memory_though_its_starter_may_not(node):
    try:
        with open("/proc/self/oom_score_adj", "r+", encoding="ascii") as file:
            before = file.read()
            file.seek(0)
            file.write("-500")
    except OSError:
        pytest.skip("this account cannot be spared")
    try:
        program = node.program()
        assert output_of(node, program, "cat", "/proc/self/oom_score_adj") == "0\n"
    finally:
        with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
            file.write(before)


def test_signals_are_blocked_for_nobody(node):
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
    try:
        program = node.program()
        assert output_of(node, program, "grep", "SigBlk", "/proc/self/status").split()[1] == "0" * 16
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR2])
