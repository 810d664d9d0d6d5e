"""What can go wrong with the local stack; every text ends with what to do next."""

from govbus.errors import GovbusError


class StackError(GovbusError):
    """The local stack cannot be started, stopped or removed; the text names the cause and the next step."""
