"""Keys as asyncssh takes them: none that is too short, none that the configuration does not accept."""

from __future__ import annotations

import subprocess

import pytest

from gpualloc.adapters.streaming import asyncssh_keys
from gpualloc.adapters.streaming.asyncssh_settings import NeedsSsh, read_settings


def settings(tmp_path, *options: str):
    chosen = (f"UserKnownHostsFile={tmp_path}/known", "GlobalKnownHostsFile=/dev/null", *options)
    arguments = [part for option in (*chosen, "ConnectTimeout=6") for part in ("-o", option)]
    command = ["ssh", "-F", "none", *arguments, "-G", "--", "n1"]
    return read_settings(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def make(tmp_path, name: str, *kind: str) -> str:
    path = tmp_path / name
    subprocess.run(["ssh-keygen", "-q", *kind, "-N", "", "-f", str(path)], check=True)
    return " ".join(path.with_suffix(".pub").read_text().split()[:2])


def test_short_rsa_keys_are_neither_trusted_nor_used(tmp_path):
    short, long = (make(tmp_path, str(bits), "-t", "rsa", "-b", str(bits)) for bits in (1024, 2048))
    (tmp_path / "known").write_text(f"n1 {short}\nn1 {long}\n")
    files = [f"IdentityFile={tmp_path}/{bits}" for bits in (1024, 2048)]
    strict = settings(tmp_path, "RequiredRSASize=2048", *files)
    trusted, authorities, revoked = asyncssh_keys.host_keys(strict)
    assert [key.export_public_key().decode().strip() for key in trusted] == [long]
    assert (authorities, revoked) == ([], [])
    assert len(asyncssh_keys.file_keys(strict)) == 1
    assert len(asyncssh_keys.file_keys(settings(tmp_path, "RequiredRSASize=1024", *files))) == 2


def test_only_accepted_signatures_of_known_keys_are_asked_for(tmp_path):
    (tmp_path / "known").write_text(f"n1 {make(tmp_path, 'rsa', '-t', 'rsa', '-b', '2048')}\n")
    plain = settings(tmp_path)
    algorithms = asyncssh_keys.host_key_algorithms(plain, asyncssh_keys.host_keys(plain))
    assert algorithms == ["rsa-sha2-512", "rsa-sha2-256"]  # and not ssh-rsa, which is SHA-1
    picky = settings(tmp_path, "HostKeyAlgorithms=ssh-ed25519")
    with pytest.raises(NeedsSsh, match="accepted kind"):
        asyncssh_keys.host_key_algorithms(picky, asyncssh_keys.host_keys(picky))


def test_a_host_of_which_nothing_is_known_is_left_to_ssh(tmp_path):
    (tmp_path / "known").write_text("")
    with pytest.raises(NeedsSsh, match="none of its host keys is known"):
        asyncssh_keys.host_keys(settings(tmp_path))


def test_a_certificate_beside_a_key_is_used_with_it(tmp_path):
    make(tmp_path, "ca", "-t", "ed25519")
    make(tmp_path, "id", "-t", "ed25519")
    command = ["ssh-keygen", "-q", "-s", str(tmp_path / "ca"), "-I", "me", "-n", "me", str(tmp_path / "id.pub")]
    subprocess.run(command, check=True)
    keys = asyncssh_keys.file_keys(settings(tmp_path, f"IdentityFile={tmp_path}/id"))
    assert [isinstance(key, tuple) for key in keys] == [True, False]
