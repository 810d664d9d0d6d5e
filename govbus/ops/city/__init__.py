"""The reference city's data: fictional people, families and firms, and what each department's system holds of them.

`write_city` writes the departments' exports, tables and later changes; `load_into_postgres` and
`apply_wave_to_postgres` put the tables and their changes into a server; `population` yields clean population records.
"""

from __future__ import annotations

from govbus.ops.city.database import Copied, apply_wave_to_postgres, load_into_postgres
from govbus.ops.city.families import population
from govbus.ops.city.generator import City, write_city

__all__ = ["City", "Copied", "apply_wave_to_postgres", "load_into_postgres", "population", "write_city"]
