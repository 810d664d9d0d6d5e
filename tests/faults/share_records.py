"""What a share topic may hold at most: each record a change, none twice."""

from __future__ import annotations

from integration.exchange_bus import ExchangeBus
from integration.tiny_city import AID


def nothing_doubled(bus: ExchangeBus, records: int) -> None:
    """Fail unless the ask's topic holds exactly so many records, each a change, and what the oracle says."""
    seen = bus.read(bus.topics.share(AID))
    assert len(seen) == records
    held: dict[bytes | None, bytes | None] = {}
    for each in seen:
        assert held.get(each.key) != each.value
        held[each.key] = each.value
    bus.check()
