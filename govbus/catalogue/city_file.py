"""``city.yaml`` alone: what a process needs to find its topics, without reading every declaration."""

from __future__ import annotations

from pathlib import Path

from govbus.catalogue.document import read_yaml
from govbus.catalogue.model import City
from govbus.catalogue.reader import CITY, no_city
from govbus.catalogue.shape import modelled
from govbus.errors import DeclarationError, Fault


def read_city(city_dir: Path) -> City:
    """Return the city in *city_dir*. Raises DeclarationError where there is none or its file is at fault."""
    if not (city_dir / CITY).is_file():
        raise DeclarationError([no_city(city_dir)])
    faults: list[Fault] = []
    document = read_yaml(city_dir, CITY, faults)
    city = None if document.value is None else modelled(document, document.value, City.model_validate, [City], faults)
    if faults or city is None:
        raise DeclarationError(faults)
    return city
