"""Errors, named by what happens next. Everything govbus raises on purpose has the root `GovbusError`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class GovbusError(Exception):
    """Root of all errors that govbus raises on purpose; its text tells the reader what to do."""


@dataclass(frozen=True, order=True)
class Fault:
    """One thing wrong in one declaration: where it stands, what is wrong, what to do about it."""

    file: str
    line: int
    code: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message} [{self.code}]"


class DeclarationError(GovbusError):
    """Someone must edit a file: nothing starts, and *every* fault is listed."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(sorted(faults))
        super().__init__("\n".join(str(fault) for fault in self.faults))


class Rejected(GovbusError):
    """This record can never succeed: put it aside with its reason and go on.

    `reason` is a word of `govbus.rules.reject.RejectReason`; `field` is the dotted path at fault where one is known.
    The text never carries a value of the record.
    """

    def __init__(self, reason: str, field: str = "") -> None:
        self.reason = reason
        self.field = field
        super().__init__(f"{reason}: {field}" if field else reason)


class Unavailable(GovbusError):
    """It may succeed later: back off and commit nothing. The text says what is waited for."""


class SettingsError(GovbusError):
    """The environment is incomplete or contradictory; the text names the variable and what to put there."""
