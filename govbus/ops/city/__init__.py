"""The reference city's data: fictional people, families and firms, and what each department's system holds of them."""

from __future__ import annotations

from govbus.ops.city.families import population

__all__ = ["population"]
