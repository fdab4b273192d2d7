"""Where the configuration comes from: default < file < environment < flag."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct, field

from gpualloc.config.files import find_file, read_file
from gpualloc.config.overrides import collect
from gpualloc.config.settings import Config, Origin, local_pools, specs_of


class Loaded(Struct, frozen=True):
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
    text = read_file(file) if file else b""
    overrides, problems = collect(env, flags)
    if file is None and not overrides and not problems:
        pools = local_pools(host)
        return Loaded(Config(pools=pools, nodes=specs_of(pools, host)))
    from gpualloc.config import cache

    given = [[item.path, item.text, item.origin.where] for item in overrides]
    key = cache.key_of(text, [str(file), given], host)
    kept = cache.file_of(cache_dir, file)
    if not problems and (hit := cache.read(kept, key, host)):
        return Loaded(*hit, file)
    from gpualloc.config.validate import validate

    checked = validate(file, text, overrides, problems, host)
    cache.write(kept, key, checked.config, checked.origins)
    return Loaded(checked.config, checked.origins, file)
