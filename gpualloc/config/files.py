"""Which configuration file is read, and its bytes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from gpualloc.errors import ConfigError

MAX_FILE_BYTES = 4 * 1024 * 1024
SYSTEM_FILE = Path("/etc/gpualloc/config.toml")


def find_file(path: Path | None, env: Mapping[str, str]) -> Path | None:
    """The file to read: the one named, else GPUALLOC_CONFIG, else the account's, else the system's; None if none.

    Raises:
        ConfigError: the file that was named, or GPUALLOC_CONFIG names, does not exist.
    """
    named = path or (Path(env["GPUALLOC_CONFIG"]) if env.get("GPUALLOC_CONFIG") else None)
    if named is not None:
        if not named.exists():
            origin = "--config" if path else "GPUALLOC_CONFIG"
            raise ConfigError(f"{named}: no such file ({origin})", hint=f"`gpualloc init --output {named}` writes one")
        return named
    return next((file for file in (account_file(env), SYSTEM_FILE) if file.exists()), None)


def account_file(env: Mapping[str, str]) -> Path:
    """Where this account's configuration file stands."""
    # By hand, for the environment is an argument here: platformdirs reads the one of the process.
    base = env.get("XDG_CONFIG_HOME", "")
    folder = Path(base) if base.startswith("/") else Path(env.get("HOME") or Path.home()) / ".config"
    return folder / "gpualloc" / "config.toml"


def read_file(file: Path) -> bytes:
    """The bytes of a file that a person wrote.

    Raises:
        ConfigError: it cannot be read, or is larger than such a file can be.
    """
    try:
        with file.open("rb") as stream:
            text = stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}", hint="name another file") from error
    if len(text) > MAX_FILE_BYTES:
        raise ConfigError(f"{file}: larger than {MAX_FILE_BYTES >> 20} MiB", hint="is this the file you meant?")
    return text
