"""Which NVIDIA device files a workload may use: device numbers, and nothing of how that is enforced."""

from typing import Any, NamedTuple, Tuple

GPU_MAJOR = 195
"""Character major of every GPU's own device file, of nvidiactl and of nvidia-modeset."""

ALWAYS = (254, 255)
"""Minors of `GPU_MAJOR` that every workload keeps: nvidia-modeset and nvidiactl. A GPU they show stays unusable."""


class DeviceRule(NamedTuple):
    """Character devices that are denied but for some; every other device is left as it is.

    Equal rules are equal values: majors and minors are sorted. Make one with `device_rule.made`.
    """

    majors: "Tuple[Tuple[int, Tuple[int, ...]], ...]"
    """Each major that is denied, with the minors that are let through all the same."""


def made(majors: "dict[int, Any]") -> DeviceRule:
    """The rule that denies each major but for its minors: `{195: {0, 254, 255}, 508: set()}`."""
    return DeviceRule(tuple((major, tuple(sorted(set(majors[major])))) for major in sorted(majors)))


def to_json(rule: DeviceRule) -> "dict[str, list[int]]":
    """The rule as a JSON object: `{"195": [0, 254, 255]}`."""
    return {str(major): list(minors) for major, minors in rule.majors}


def from_json(fields: "dict[str, Any]") -> DeviceRule:
    """The rule that `to_json` wrote down."""
    return made({int(major): minors for major, minors in fields.items()})
