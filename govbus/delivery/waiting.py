"""What a fault means for a delivery: what it waits for, how it is counted, and what may be said of it."""

from __future__ import annotations

import errno
from dataclasses import dataclass

import psycopg
from confluent_kafka import KafkaException
from psycopg.errors import DiskFull, InsufficientPrivilege

from govbus.delivery.plan import RegistryUnavailable, UnknownAsk
from govbus.delivery.row import UnreadableRecord
from govbus.errors import GovbusError, SettingsError, Unavailable
from govbus.kafka.clients import translate
from govbus.metrics import Waiting

PASSING = (GovbusError, KafkaException, psycopg.Error, OSError)
"""Everything that is waited out. What is not among them is a fault of this program and ends it."""


_NOT_LET_IN = ("authentication failed", "does not exist", "no pg_hba.conf entry")
"""What libpq's messages say, in English, when the database answers and does not want this user (it gives no code)."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Why the delivery waits. `reason` is the metric's label; `cause` never carries a value of a record.

    `needs_a_person`: somebody has to change something, so at the start it is better to say so and end.
    """

    reason: str
    cause: str
    waiting: Waiting
    needs_a_person: bool = False


def wait_of(error: BaseException) -> Wait:
    """Return what *error*, one of `PASSING`, means."""
    match error:
        case DiskFull():
            return Wait("disk", "the database's disk is full", Waiting.DISK)
        case psycopg.OperationalError() if error.sqlstate is None:
            # From before the session: it says what could not be reached or who was not let in, and knows no record.
            text = str(error).strip() or type(error).__name__
            return Wait("postgres", text, Waiting.POSTGRES, any(word in text for word in _NOT_LET_IN))
        case InsufficientPrivilege():
            remedy = "the role needs CREATE on the database, or to own the schema that `delivery:` names"
            return Wait("table", f"{_diagnosis(error)}: {remedy}", Waiting.POSTGRES, needs_a_person=True)
        case psycopg.OperationalError() | psycopg.InterfaceError() | psycopg.InternalError():
            return Wait("postgres", _diagnosis(error), Waiting.POSTGRES)
        case psycopg.Error():
            return Wait("table", _diagnosis(error), Waiting.POSTGRES, needs_a_person=True)
        case OSError(errno=errno.ENOSPC | errno.EDQUOT):
            return Wait("disk", "no space is left in the folder of deliveries", Waiting.DISK)
        case OSError():
            return Wait("disk", f"{type(error).__name__}: {error.strerror}", Waiting.DISK, needs_a_person=True)
        case KafkaException():
            return wait_of(translate(error, "reading share topics"))
        case RegistryUnavailable():
            return Wait("registry", str(error), Waiting.REGISTRY)
        case SettingsError():
            return Wait("denied", str(error), Waiting.BROKER, needs_a_person=True)
        case UnreadableRecord():
            return Wait("unreadable", str(error), Waiting.SOURCE)
        case UnknownAsk():
            return Wait("catalogue", str(error), Waiting.CATALOGUE, needs_a_person=True)
        case Unavailable():
            return Wait("broker", str(error), Waiting.BROKER)
        case _:
            return Wait("declaration", str(error), Waiting.CATALOGUE, needs_a_person=True)


def _diagnosis(error: psycopg.Error) -> str:
    """Return what the server said, without its sentence: that may quote a value."""
    parts = [type(error).__name__, error.sqlstate, error.diag.table_name, error.diag.column_name]
    return " ".join(part for part in [*parts, error.diag.constraint_name] if part)
