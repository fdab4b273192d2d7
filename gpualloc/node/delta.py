"""What changed between two pictures of a node, so that what stayed the same is not sent again.

A picture is plain JSON. A patch is an object. `{"v": new}` puts something else in place. Of an object it is
`{"=": {key: new}, "d": {key: patch}, "x": [keys that are gone]}`; of a list `{"l": {index: patch}}` where it kept its
length, or `{"s": n, "a": [new]}` where n items left at its front and some came at its end. Parts may be left out.
"""

from typing import Any

from gpualloc.node.wire import WireError

_MISSING = object()


def difference(old: Any, new: Any) -> "dict[str, Any] | None":
    """The patch that makes `new` of `old`; None when they are the same."""
    if type(old) is not type(new):
        return {"v": new}
    if isinstance(new, dict):
        return _of_objects(old, new)
    if isinstance(new, list):
        return _of_lists(old, new)
    return None if old == new else {"v": new}


def merged(old: Any, patch: Any) -> Any:
    """What `old` becomes; parts that did not change are the same objects as before.

    Raises:
        WireError: the patch does not belong to it, or is none.
    """
    try:
        return _merged(old, patch)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise WireError("a change that does not fit: %s: %s" % (type(error).__name__, error)) from error


def _of_objects(old: "dict[str, Any]", new: "dict[str, Any]") -> "dict[str, Any] | None":
    put: "dict[str, Any]" = {}
    deeper: "dict[str, Any]" = {}
    for key, value in new.items():
        patch = difference(old.get(key, _MISSING), value)
        if patch is None:
            continue
        if len(patch) == 1 and "v" in patch:
            put[key] = value
        else:
            deeper[key] = patch
    gone = [key for key in old if key not in new]
    told = {"=": put, "d": deeper, "x": gone}
    return {name: part for name, part in told.items() if part} or None


def _of_lists(old: "list[Any]", new: "list[Any]") -> "dict[str, Any] | None":
    shifted = _shifted(old, new)
    if shifted is not None:
        return shifted or None
    if len(old) != len(new):
        return {"v": new}
    changes = {}
    for index, value in enumerate(new):
        patch = difference(old[index], value)
        if patch is not None:
            changes[str(index)] = patch
    return {"l": changes} if changes else None


def _shifted(old: "list[Any]", new: "list[Any]") -> "dict[str, Any] | None":
    """The patch where the list moved on, empty when it stayed as it was; None where it changed otherwise."""
    first = _place(old, new)
    if first is None:
        return None
    kept = len(old) - first
    if kept > len(new) or any(difference(old[first + index], new[index]) for index in range(kept)):
        return None
    told: "dict[str, Any]" = {"s": first, "a": new[kept:]}
    return {name: part for name, part in told.items() if part}


def _place(old: "list[Any]", new: "list[Any]") -> "int | None":
    """Where the new list's first item was in the old one."""
    if not old or not new:
        return 0 if not old else None
    for index, value in enumerate(old):
        if difference(value, new[0]) is None:
            return index
    return None


def _merged(old: Any, patch: "dict[str, Any]") -> Any:
    if "v" in patch:
        return patch["v"]
    if isinstance(old, dict):
        told = dict(old)
        for key in patch.get("x", ()):
            del told[key]
        told.update(patch.get("=", {}))
        for key, deeper in patch.get("d", {}).items():
            told[key] = _merged(old[key], deeper)
        return told
    if not isinstance(old, list):
        raise ValueError("only objects and lists have parts")
    if "l" in patch:
        items = list(old)
        for index, deeper in patch["l"].items():
            items[_index(index, items)] = _merged(items[_index(index, items)], deeper)
        return items
    first = patch.get("s", 0)
    if not isinstance(first, int) or not 0 <= first <= len(old):
        raise ValueError("more left than there were")
    return old[first:] + list(patch.get("a", []))


def _index(text: str, items: "list[Any]") -> int:
    index = int(text)
    if not 0 <= index < len(items):
        raise ValueError("there is no item %s" % text)
    return index
