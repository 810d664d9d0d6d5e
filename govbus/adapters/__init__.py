"""How departments publish: files, Postgres tables, outboxes, and programs of their own by `Publisher`."""

from govbus.adapters.publisher import Publisher
from govbus.adapters.values import InvalidRecord

__all__ = ["InvalidRecord", "Publisher"]
