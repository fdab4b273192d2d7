"""What comes in by entry points: built-in and third-party alike, found by name, imported when it is wanted."""

from __future__ import annotations

import difflib
from importlib.metadata import EntryPoint, entry_points

from msgspec import Struct

from gpualloc.errors import ConfigError, GpuallocError, NotFoundError


class PlugIns(Struct, frozen=True):
    """One kind of plug-in."""

    group: str
    """The entry points it comes in by."""
    one: str
    """What one is called, such as `policy`."""
    several: str
    call: str
    """The method that each must have, with its arguments as they are shown."""

    def entries(self) -> dict[str, EntryPoint]:
        """Entry points by name, none imported; of two with the same name the last in the order of their values."""
        found = sorted(entry_points(group=self.group), key=lambda entry: (entry.name, entry.value))
        return {entry.name: entry for entry in found}

    def names(self) -> tuple[str, ...]:
        """Names of all that are installed, sorted; none is imported."""
        return tuple(sorted(self.entries()))

    def load(self, name: str) -> object:
        """Import and make the one of that name; it has a name, a version and the method.

        Raises:
            NotFoundError: no installed package brings it; the hint names the nearest.
            ConfigError: the package that brings it is broken or needs another one; names its entry point.
        """
        found = self.entries()
        if name not in found:
            near = difflib.get_close_matches(name, found, n=1)
            known = f"known {self.several}: {', '.join(sorted(found))}"
            hint = f"did you mean {near[0]}?" if near else known
            raise NotFoundError(f"there is no {self.one} {name!r}", hint=hint)
        entry = found[name]
        try:
            made = entry.load()()
        except GpuallocError:
            raise
        except Exception as error:  # foreign code may raise anything; it is told, with its cause, not hidden
            raise ConfigError(
                f"the {self.one} {name!r} ({entry.value}) cannot be loaded: {type(error).__name__}: {error}",
                hint=f"repair or uninstall the package that brings it, or choose another {self.one}",
            ) from error
        self._check(made, entry)
        return made

    def _check(self, made: object, entry: EntryPoint) -> None:
        what = f"the {self.one} {entry.name!r} ({entry.value})"
        for attribute in ("name", "version"):
            if not isinstance(getattr(made, attribute, None), str):
                raise ConfigError(f"{what} has no {attribute}")
        if not callable(getattr(made, self.call.partition("(")[0], None)):
            raise ConfigError(f"{what} has no {self.call}")
