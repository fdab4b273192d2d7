"""A plan as a document: canonical JSON with a format version and its own SHA-256."""

from __future__ import annotations

import hashlib
import json

from gpualloc.errors import BrokenInputError
from gpualloc.model.codec import from_plain, to_plain
from gpualloc.model.plan import PLAN_FORMAT, Plan
from gpualloc.planning.base import base_digest

_HINT = "make the plan again with: gpualloc plan -o FILE"


def dump(plan: Plan) -> str:
    """The plan as one JSON document, ended by a newline; equal plans give equal text."""
    body = {"format": PLAN_FORMAT, "plan": to_plain(plan)}
    return json.dumps({**body, "sha256": _digest(body)}, sort_keys=True, indent=1, ensure_ascii=True) + "\n"


def load(text: str) -> Plan:
    """Read a document that `dump` wrote.

    Raises:
        BrokenInputError: the text is truncated, edited, of another format version, or no plan at all.
    """
    document = _parsed(text)
    version, digest = document.get("format"), document.get("sha256")
    if version != PLAN_FORMAT or isinstance(version, bool):
        raise BrokenInputError(f"the plan has format {version!r}; this gpualloc reads {PLAN_FORMAT}", hint=_HINT)
    body = {key: value for key, value in document.items() if key != "sha256"}
    if digest != _digest(body):
        raise BrokenInputError("the plan was edited after it was made: its SHA-256 does not fit", hint=_HINT)
    plan = from_plain(Plan, body.get("plan"))
    if plan.base_digest != base_digest(plan.base):
        raise BrokenInputError("the plan contradicts itself: its base digest is not that of its base", hint=_HINT)
    return plan


def _parsed(text: str) -> dict[str, object]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        reason = "is truncated or not JSON" if text.strip() else "is empty"
        raise BrokenInputError(f"the plan {reason}: {error}", hint=_HINT) from error
    if not isinstance(document, dict) or "plan" not in document:
        raise BrokenInputError("the document is not a plan", hint=_HINT)
    return document


def _digest(body: dict[str, object]) -> str:
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()
