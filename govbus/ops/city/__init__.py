"""The reference city's data: fictional people, families and firms, and what each department's system holds of them.

`write_city` writes the departments' exports, tables and later changes; `bring` puts them before the departments, wave
by wave (`put_into_drop`, `load_into_postgres` and `apply_wave_to_postgres` its parts); `population` yields clean
population records.
"""

from __future__ import annotations

from govbus.ops.city.arrival import Copied, apply_wave_to_postgres, bring, load_into_postgres, put_into_drop
from govbus.ops.city.families import population
from govbus.ops.city.generator import City, write_city

__all__ = [
    "City",
    "Copied",
    "apply_wave_to_postgres",
    "bring",
    "load_into_postgres",
    "population",
    "put_into_drop",
    "write_city",
]
