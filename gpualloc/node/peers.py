"""How one GPU reaches the others of its node: over NVLink, else by what lies between them on PCIe."""

from typing import TYPE_CHECKING, Any

import pynvml

from gpualloc.node.links import SWITCH
from gpualloc.node.reading import Reading

if TYPE_CHECKING:
    from gpualloc.node.driver import Driver

_WORDS = {
    pynvml.NVML_TOPOLOGY_INTERNAL: "PIX",
    pynvml.NVML_TOPOLOGY_SINGLE: "PIX",
    pynvml.NVML_TOPOLOGY_MULTIPLE: "PXB",
    pynvml.NVML_TOPOLOGY_HOSTBRIDGE: "PHB",
    pynvml.NVML_TOPOLOGY_NODE: "NODE",
    pynvml.NVML_TOPOLOGY_SYSTEM: "SYS",
}
_OVER_NVLINK = getattr(pynvml, "NVML_P2P_CAPS_INDEX_NVLINK", 2)


class Peer:
    """Another GPU of the node: its UUID, its handle, and its PCI address where it told one."""

    def __init__(self, uuid: str, handle: Any, address: "str | None") -> None:
        self.uuid = uuid
        self.handle = handle
        self.address = address


def read(driver: "Driver", links: "list[dict[str, Any]]", others: "list[Peer]") -> "Reading":
    """`peers`: a word for each other GPU; one that the driver says nothing about is left out.

    Args:
        driver: of this GPU.
        links: its `nvlinks`.
        others: the other GPUs.
    """
    piece = Reading()
    piece.put("peers", {})
    up = [link["remote"] for link in links if link["up"]]
    for peer in others:
        try:
            word = _word(driver, up, peer)
        except pynvml.NVMLError:
            continue  # it may be the other GPU that is lost
        if word is not None:
            piece.row["peers"][peer.uuid] = word
    return piece


def _word(driver: "Driver", up: "list[str | None]", peer: "Peer") -> "str | None":
    direct = up.count(peer.address) if peer.address is not None else 0
    if direct:
        return "NV%d" % direct
    switched = up.count(SWITCH)
    if switched and _over_nvlink(driver, peer):
        return "NV%d" % switched
    return _WORDS.get(driver.ask_of(driver.handle, "peers", "nvmlDeviceGetTopologyCommonAncestor", peer.handle))


def _over_nvlink(driver: "Driver", peer: "Peer") -> bool:
    """Whether two GPUs at switches reach each other over them."""
    try:
        status = driver.ask_of(driver.handle, "peers", "nvmlDeviceGetP2PStatus", peer.handle, _OVER_NVLINK)
    except pynvml.NVMLError:
        return False
    return bool(status == pynvml.NVML_P2P_STATUS_OK)
