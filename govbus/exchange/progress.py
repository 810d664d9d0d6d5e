"""What has been sent under which revision: a fact of each partition, kept on ``bus.progress``.

Written in the same transaction as the differences it speaks of, and restored before anything else is sent. A view that
is being changed has both revisions and a cursor: keys up to the cursor are under the new one, later keys under the old.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from govbus.errors import GovbusError
from govbus.exchange.difference import Output

FORMAT = 1


class ProgressFormatError(GovbusError):
    """Progress was written by another version of govbus; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A version of a view: the revision it stands in and its fingerprint. The empty view has no revision."""

    revision: int
    fingerprint: str


EMPTY = Sent(0, "")


@dataclass(frozen=True, slots=True)
class ViewProgress:
    """What one partition has sent of one view: all of `now`, except that after `cursor` it is still `before`.

    `delete_to`: where the view narrows or ends, the end of its share partition before anything of `now` was sent.
    """

    now: Sent
    before: Sent | None = None
    cursor: bytes | None = None
    delete_to: int | None = None

    def record(self, topic: str, partition: int, view: str) -> Output:
        """Return the record of this progress."""
        document: dict[str, object] = {"format": FORMAT, "now": [self.now.revision, self.now.fingerprint]}
        if self.before is not None:
            document["before"] = [self.before.revision, self.before.fingerprint]
            document["cursor"] = None if self.cursor is None else self.cursor.hex()
            document["delete_to"] = self.delete_to
        return (topic, json.dumps(document).encode(), key_of(partition, view), partition, None, None, 0, None)

    @classmethod
    def parse(cls, value: bytes) -> ViewProgress:
        document = json.loads(value)
        if document.get("format") != FORMAT:
            raise ProgressFormatError(
                f"bus.progress has format {document.get('format')}, this govbus reads {FORMAT}: run the "
                "govbus that wrote it"
            )
        before, cursor = document.get("before"), document.get("cursor")
        return cls(
            Sent(*document["now"]),
            None if before is None else Sent(*before),
            None if cursor is None else bytes.fromhex(cursor),
            document.get("delete_to"),
        )


NOTHING_SENT = ViewProgress(EMPTY)


def key_of(partition: int, view: str) -> bytes:
    return f"view|{partition}|{view}".encode()


def view_of(key: bytes) -> str | None:
    """Return the view a progress record speaks of, or None for a record of another kind (an adapter's poll)."""
    kind, _, rest = key.decode().partition("|")
    return rest.partition("|")[2] if kind == "view" else None


@dataclass(frozen=True, slots=True)
class Judging:
    """How far what is due at the clock `to_ms` was judged anew and sent.

    All that was due of golden views before `golden`, and of that one the entities up to (`due`, `subject`); `due` in
    microseconds. Everything else stands as of the clock before.
    """

    to_ms: int
    golden: str
    due: int
    subject: bytes

    def has_passed(self, golden: str, due: int, subject: bytes) -> bool:
        """Return whether the entity of *golden* that was due at *due* was among those."""
        return (golden, due, subject) <= (self.golden, self.due, self.subject)


def clock_record(topic: str, partition: int, clock_ms: int, judging: Judging | None = None) -> Output:
    """Return the record of the clock at which *partition* sent its golden views last, and of what it is judging."""
    document: dict[str, object] = {"format": FORMAT, "clock_ms": clock_ms}
    if judging is not None:
        document["judging"] = [judging.to_ms, judging.golden, judging.due, judging.subject.hex()]
    return (topic, json.dumps(document).encode(), f"clock|{partition}".encode(), partition, None, None, 0, None)


def clock_of(key: bytes, value: bytes) -> tuple[int, Judging | None] | None:
    """Return the clock that a progress record states, in milliseconds, and what was being judged at it.

    None for a record of another kind.
    """
    if not key.startswith(b"clock|"):
        return None
    document = json.loads(value)
    if "judging" not in document:
        return int(document["clock_ms"]), None
    to_ms, golden, due, subject = document["judging"]
    return int(document["clock_ms"]), Judging(to_ms, golden, due, bytes.fromhex(subject))
