"""Policy profiles on disk: one file each beside the state, private, replaced whole."""

from __future__ import annotations

import os
import secrets
import stat
from difflib import get_close_matches
from pathlib import Path

from gpualloc.errors import BrokenInputError, NotFoundError, StateError, UsageError
from gpualloc.policies.profile import MAX_PROFILE_BYTES, Profile, is_profile_name, read_profile, write_profile

_ENDING = ".json"


class SavedProfiles:
    """The profiles of one state."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def names(self) -> tuple[str, ...]:
        """What there is, sorted; nothing is read.

        Raises:
            StateError: the folder cannot be read.
        """
        try:
            found = [entry.name.removesuffix(_ENDING) for entry in self._folder.iterdir() if entry.suffix == _ENDING]
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise StateError(f"the profiles in {self._folder} cannot be listed: {error.strerror}") from error
        return tuple(sorted(filter(is_profile_name, found)))

    def path(self, name: str) -> Path:
        """Where the profile of that name lies, if there is one.

        Raises:
            UsageError: nothing can be called that.
        """
        if not is_profile_name(name):
            raise UsageError(
                f"{name[:80]!r} is no name of a profile",
                hint="letters, digits, and . _ - inside, at most 64 characters",
            )
        return self._folder / f"{name}{_ENDING}"

    def read(self, name: str) -> Profile:
        """The profile of that name.

        Raises:
            UsageError: nothing can be called that.
            NotFoundError: there is none.
            BrokenInputError: it cannot be read, or is no profile of that name.
        """
        path = self.path(name)
        try:
            content = _content(path)
        except FileNotFoundError as error:
            near = get_close_matches(name, self.names(), 1)
            hint = f"did you mean {near[0]}?" if near else "`gpualloc policies` lists the profiles, `tune` makes them"
            raise NotFoundError(f"there is no policy profile {name!r} in {self._folder}", hint=hint) from error
        except OSError as error:
            raise BrokenInputError(f"{path} cannot be read: {error.strerror}") from error
        try:
            profile = read_profile(content.decode(), str(path))
        except UnicodeDecodeError as error:
            raise BrokenInputError(f"{path}: not a profile: not UTF-8") from error
        if profile.name != name:
            raise BrokenInputError(f"{path}: the profile calls itself {profile.name}", hint="rename one or the other")
        return profile

    def check_free(self, name: str, *, replace: bool) -> None:
        """Find out before a long search that its result could not be saved.

        Raises:
            UsageError: nothing can be called that, or there is one of that name, and it is not to be replaced.
        """
        if self.path(name).exists() and not replace:
            raise UsageError(f"there is a profile {name!r} already", hint="choose another --name, or --force")

    def save(self, profile: Profile, *, replace: bool) -> Path:
        """Write the profile; returns where it lies.

        Raises:
            UsageError: there is one of that name, and it is not to be replaced.
            StateError: it cannot be written; an older one of that name is as it was.
        """
        self.check_free(profile.name, replace=replace)
        path = self.path(profile.name)
        draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            try:
                with os.fdopen(descriptor, "w", encoding="ascii") as stream:
                    stream.write(write_profile(profile))
                    stream.flush()
                    os.fsync(stream.fileno())
                draft.replace(path)
            except BaseException:
                draft.unlink(missing_ok=True)
                raise
        except OSError as error:
            raise StateError(f"the profile cannot be written to {path}: {error.strerror}") from error
        return path


def _content(path: Path) -> bytes:
    """What is in a plain file; anything else could hold the command up."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise BrokenInputError(f"{path} is not a plain file")
        return stream.read(MAX_PROFILE_BYTES + 1)
