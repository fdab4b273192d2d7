"""Where the configuration comes from: default < file < environment < flag."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gpualloc.config import cache
from gpualloc.config.overrides import collect
from gpualloc.config.settings import Config, Origin, local_pools, specs_of
from gpualloc.errors import ConfigError

MAX_FILE_BYTES = 4 * 1024 * 1024
SYSTEM_FILE = Path("/etc/gpualloc/config.toml")


@dataclass(frozen=True, slots=True)
class Loaded:
    """The configuration in force."""

    config: Config
    origins: Mapping[str, Origin] = field(default_factory=dict)
    """Dotted key to where it was set, for what is not a default."""
    file: Path | None = None
    """The file that was read; None when there is none."""


def load(
    path: Path | None,
    env: Mapping[str, str],
    flags: Mapping[str, str],
    cache_dir: Path,
    *,
    host: str | None = None,
) -> Loaded:
    """Read, check and merge the configuration; from the cache when nothing of it changed.

    Args:
        path: the file named by `--config`; None looks for one (`find_file`).
        env: the environment.
        flags: dotted configuration key to text, from flags.
        cache_dir: where the checked result is kept.
        host: what this machine is called; None asks the kernel.

    Raises:
        ConfigError: the file cannot be read, or keys or values in it, in variables or in flags are wrong.
    """
    host = host or os.uname().nodename
    file = find_file(path, env)
    text = _bytes_of(file) if file else b""
    overrides, problems = collect(env, flags)
    if file is None and not overrides and not problems:
        pools = local_pools(host)
        return Loaded(Config(pools=pools, nodes=specs_of(pools, host)))
    given = [[item.path, item.text, item.origin.where] for item in overrides]
    key = cache.key_of(text, [str(file), given], host)
    kept = cache.file_of(cache_dir, file)
    if not problems and (hit := cache.read(kept, key, host)):
        return Loaded(*hit, file)
    from gpualloc.config.validate import validate

    checked = validate(file, text, overrides, problems, host)
    cache.write(kept, key, checked.config, checked.origins)
    return Loaded(checked.config, checked.origins, file)


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
    # Three lines instead of platformdirs, whose import alone takes as long as everything else here.
    base = env.get("XDG_CONFIG_HOME", "")
    folder = Path(base) if base.startswith("/") else Path(env.get("HOME") or Path.home()) / ".config"
    return folder / "gpualloc" / "config.toml"


def _bytes_of(file: Path) -> bytes:
    try:
        with file.open("rb") as stream:
            text = stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        hint = "name another file with --config, or make this one readable"
        raise ConfigError(f"{file}: cannot be read: {error.strerror}", hint=hint) from error
    if len(text) > MAX_FILE_BYTES:
        raise ConfigError(f"{file}: larger than {MAX_FILE_BYTES >> 20} MiB", hint="is this a configuration file?")
    return text
