"""What can be typed behind `:`: views, actions, and settings of the dashboard, with completion. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from difflib import get_close_matches

from msgspec import Struct

from gpualloc.errors import UsageError


class Command(Struct, frozen=True):
    """Something that can be typed."""

    name: str
    what: str
    run: Callable[[str], None]
    """Does it with what is behind the name."""
    aliases: tuple[str, ...] = ()
    argument: str = ""
    """What may stand behind the name, with `...` several of them; empty: nothing."""
    values: Callable[[], Iterable[str]] = tuple
    """What it could be, for completion."""


class Commands:
    """Commands by name.

    Args:
        commands: all there are; a name or alias is there once.
    """

    def __init__(self, commands: Iterable[Command]) -> None:
        self.all = tuple(commands)

    def run(self, text: str) -> None:
        """Do what is typed; an unambiguous beginning of a name is enough.

        Raises:
            UsageError: there is no such command, or several begin so, or it takes no argument.
        """
        name, _, argument = text.strip().partition(" ")
        if not name:
            return
        command = self.find(name)
        if argument and not command.argument:
            raise UsageError(f":{command.name} takes nothing behind it")
        command.run(argument.strip())

    def find(self, name: str) -> Command:
        """The command of that name, alias, or beginning of a name.

        Raises:
            UsageError: there is none, or there are several.
        """
        wanted = name.casefold()
        for command in self.all:
            if wanted == command.name or wanted in command.aliases:
                return command
        found = [command for command in self.all if command.name.startswith(wanted)]
        if len(found) == 1:
            return found[0]
        if found:
            raise UsageError(f":{name} could be {', '.join(command.name for command in found)}")
        near = get_close_matches(wanted, [command.name for command in self.all], n=1)
        raise UsageError(f"there is no command :{name}", hint=f"did you mean :{near[0]}?" if near else "? lists them")

    def complete(self, text: str) -> tuple[str, ...]:
        """Whole texts that this one could become."""
        name, blank, argument = text.partition(" ")
        if not blank:
            return tuple(sorted(command.name for command in self.all if command.name.startswith(name)))
        try:
            command = self.find(name)
        except UsageError:
            return ()
        before, blank, last = argument.rpartition(" ") if command.argument.endswith("...") else ("", "", argument)
        typed = last.casefold()
        return tuple(
            f"{name} {before}{blank}{value}" for value in command.values() if value.casefold().startswith(typed)
        )
