"""What changed from one JSON value to the next, and the next made from that.

A patch of an object with the same keys, or of a list of the same length, names only what changed in it. Anything else
is replaced: by itself when it is no object or list, else by `{"=": value}`.
"""

from __future__ import annotations

WHOLE = "="
"""The one key of a patch that replaces an object or list; never a key of the model."""


class UnfitPatchError(ValueError):
    """A patch is not one of the value that it is for."""


def patch_of(before: object, after: object) -> object:
    """What makes `after` from `before`, which is another value than it."""
    if isinstance(before, dict) and isinstance(after, dict) and before.keys() == after.keys() and WHOLE not in after:
        return {key: patch_of(before[key], value) for key, value in after.items() if before[key] != value}
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        pairs = enumerate(zip(before, after, strict=True))
        return {str(at): patch_of(old, new) for at, (old, new) in pairs if old != new}
    return {WHOLE: after} if isinstance(after, dict | list) else after


def patched(before: object, patch: object) -> object:
    """The value after a patch; what did not change is shared with `before`.

    Raises:
        UnfitPatchError: the patch is for another value.
    """
    if not isinstance(patch, dict):
        return patch
    if patch.keys() == {WHOLE}:
        return patch[WHOLE]
    if isinstance(before, dict):
        if not patch.keys() <= before.keys():
            raise UnfitPatchError("it changes what is not there")
        return {**before, **{key: patched(before[key], change) for key, change in patch.items()}}
    if isinstance(before, list):
        after = list(before)
        for at, change in patch.items():
            if not at.isdecimal() or int(at) >= len(after):
                raise UnfitPatchError("it changes what is not there")
            after[int(at)] = patched(after[int(at)], change)
        return after
    raise UnfitPatchError("it changes a part of what has none")
