"""``city.yaml`` alone: what a process needs to find its topics, without reading every declaration."""

from __future__ import annotations

from pathlib import Path

import yaml
from pydantic import ValidationError

from govbus.catalogue.model import City
from govbus.errors import DeclarationError, Fault


def read_city(city_dir: Path) -> City:
    """Return the city in *city_dir*. Raises DeclarationError where there is none or it is at fault."""
    file = city_dir / "city.yaml"
    if not file.is_file():
        raise DeclarationError(
            [
                Fault(
                    str(file),
                    1,
                    "no_city",
                    "there is no city here: go to its folder, name it with --city, or govbus init",
                )
            ]
        )
    try:
        return City.model_validate(yaml.safe_load(file.read_text(encoding="utf-8")))
    except (yaml.YAMLError, ValidationError, UnicodeDecodeError) as error:
        kind = type(error).__name__
        raise DeclarationError([Fault(str(file), 1, "city", f"{kind}: `govbus check` tells what is wrong")]) from error
