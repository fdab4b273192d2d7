"""What a change of a GPU's MIG mode needs, and how long it lasts."""

from __future__ import annotations

from msgspec import Struct

from gpualloc.errors import InfeasibleError

_WITH_RESET = {"ampere"}
_WITHOUT_RESET = {"hopper", "blackwell"}


class ModeChange(Struct, frozen=True):
    """A change of MIG mode that is due. No MIG instance outlives a reboot or a reset, whatever becomes of the mode."""

    enable: bool
    """The mode wanted."""
    takes_back: bool
    """Whether the mode in force is the one wanted, and only a pending change is taken back."""
    needs_reset: bool
    """Whether the driver resets the GPU: then nobody may hold it open, monitors included."""
    survives_reboot: bool
    """Whether the mode is kept over a reboot; else it must be set again after each."""

    @property
    def needs(self) -> str:
        """What must be so before it can be done, as a person reads it."""
        if self.takes_back:
            return "nothing: the mode in force is right, and the pending change is taken back"
        if self.needs_reset:
            return "a GPU that nothing holds open, as it is reset: no work, no MIG instance, no monitor such as DCGM"
        return "an idle GPU: no work and no MIG instance"


def mode_change(
    architecture: str | None, enabled: bool | None, pending: bool | None, wanted: bool
) -> ModeChange | None:
    """The change that brings a GPU into or out of MIG mode.

    Args:
        architecture: such as `Ampere` or `Hopper`; of one that is None or not known the worse is taken: a reset is
            needed, and the mode is gone after a reboot.
        enabled: the mode in force; None when the GPU has no MIG mode.
        pending: the mode after the next reset; None when the GPU has no MIG mode.
        wanted: whether it is to be in MIG mode.

    Returns:
        None when nothing is to be done.

    Raises:
        InfeasibleError: MIG mode is wanted of a GPU that has none.
    """
    if enabled is None:
        if wanted:
            raise InfeasibleError("the GPU has no MIG mode")
        return None
    if enabled is wanted and pending in (None, wanted):
        return None
    name = (architecture or "").casefold()
    takes_back = enabled is wanted
    return ModeChange(
        enable=wanted,
        takes_back=takes_back,
        needs_reset=not takes_back and name not in _WITHOUT_RESET,
        survives_reboot=name in _WITH_RESET,
    )
