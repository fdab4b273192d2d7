"""The NVLinks of one GPU: whether each is up, what is at its other end, and its errors."""

from typing import TYPE_CHECKING, Any

import pynvml

from gpualloc.node import nearness
from gpualloc.node.batch import Batch
from gpualloc.node.reading import Reading

if TYPE_CHECKING:
    from gpualloc.node.driver import Driver

SWITCH = "switch"
"""The other end of a link that is no single device."""
_MOST_LINKS = 36
_MAX_COUNT = 1 << 48
_ENDS = (pynvml.NVML_ERROR_INVALID_ARGUMENT, pynvml.NVML_ERROR_NOT_SUPPORTED)
_ERROR_FIELDS = (
    pynvml.NVML_FI_DEV_NVLINK_ERROR_DL_REPLAY,
    pynvml.NVML_FI_DEV_NVLINK_ERROR_DL_RECOVERY,
    pynvml.NVML_FI_DEV_NVLINK_ERROR_DL_CRC,
)
_ERROR_COUNTERS = (
    pynvml.NVML_NVLINK_ERROR_DL_REPLAY,
    pynvml.NVML_NVLINK_ERROR_DL_RECOVERY,
    pynvml.NVML_NVLINK_ERROR_DL_CRC_FLIT,
    pynvml.NVML_NVLINK_ERROR_DL_CRC_DATA,
)
"""The same by an older call, which tells two kinds of CRC errors."""


class Links:
    """What is known of the links of one opened GPU; the other end of a link is asked for once while it is up."""

    def __init__(self) -> None:
        self._remotes: "dict[int, str | None]" = {}

    def read(self, driver: "Driver") -> "Reading":
        """`nvlinks`; None with a reason on a GPU that has none."""
        piece = Reading()
        try:
            up = _states(driver)
            errors = _errors(driver, [link for link, state in enumerate(up) if state])
            piece.put("nvlinks", [self._row(driver, link, state, errors.get(link)) for link, state in enumerate(up)])
        except pynvml.NVMLError as error:
            piece.failed("nvlinks", error)
        return piece

    def _row(self, driver: "Driver", link: int, up: bool, errors: "int | None") -> "dict[str, Any]":
        if not up:
            self._remotes.pop(link, None)
        elif self._remotes.get(link) is None:
            self._remotes[link] = _remote(driver, link)
        return {"index": link, "up": up, "remote": self._remotes.get(link), "errors": errors}


def _states(driver: "Driver") -> "list[bool]":
    """Whether each link is up, by its number; raises NVMLError when there is none."""
    states = []
    for link in range(_MOST_LINKS):
        try:
            states.append(bool(driver.ask("nvlink", "nvmlDeviceGetNvLinkState", link)))
        except pynvml.NVMLError as error:
            if states and error.value in _ENDS:
                break
            raise
    return states


def _remote(driver: "Driver", link: int) -> "str | None":
    """PCI address at the other end, or `SWITCH`; None when it is not told. Raises NVMLError for a lost GPU only."""
    try:
        if driver.ask("nvlink", "nvmlDeviceGetNvLinkRemoteDeviceType", link) == pynvml.NVML_NVLINK_DEVICE_TYPE_SWITCH:
            return SWITCH
    except pynvml.NVMLError as error:
        _unless_lost(error)
    try:
        return nearness.address(driver.ask("nvlink", "nvmlDeviceGetNvLinkRemotePciInfo", link))
    except pynvml.NVMLError as error:
        _unless_lost(error)
    return None


def _errors(driver: "Driver", links: "list[int]") -> "dict[int, int]":
    """The errors of those links, as far as all kinds are told; raises NVMLError for a lost GPU only."""
    batch = Batch(driver, "nvlink", [(field, link) for link in links for field in _ERROR_FIELDS])
    sums = {}
    for link in links:
        try:
            counts = [batch.value((field, link)) for field in _ERROR_FIELDS]
        except pynvml.NVMLError as error:
            _unless_lost(error)
            counts = _counted(driver, link)
        if counts and all(0 <= count <= _MAX_COUNT for count in counts):
            sums[link] = sum(counts)
    return sums


def _counted(driver: "Driver", link: int) -> "list[int]":
    try:
        return [driver.ask("nvlink", "nvmlDeviceGetNvLinkErrorCounter", link, counter) for counter in _ERROR_COUNTERS]
    except pynvml.NVMLError as error:
        _unless_lost(error)
        return []


def _unless_lost(error: Any) -> None:
    if error.value == pynvml.NVML_ERROR_GPU_IS_LOST:
        raise error
