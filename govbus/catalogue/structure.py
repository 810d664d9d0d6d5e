"""A dataset's structural checks, ready to be asked: what `govbus.rules.structural` makes of what is declared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from govbus.catalogue.model import Dataset
from govbus.rules.structural import Check, parse_check


def checks_of(dataset: Dataset, code_lists: Mapping[str, Mapping[str, str]]) -> tuple[Check, ...]:
    """Return the checks of *dataset* as declared, a value set without values filled from its field's code list.

    Raises ValueError for a declaration that `govbus check` refuses.
    """
    return tuple(_filled(parse_check(each), dataset, code_lists) for each in dataset.checks)


def _filled(check: Check, dataset: Dataset, code_lists: Mapping[str, Mapping[str, str]]) -> Check:
    if check.rule != "value_set" or check.setting("values"):
        return check
    entry = dataset.fields.get(check.field)
    codes = code_lists.get(entry.codes, {}) if entry is not None and entry.codes is not None else {}
    if not codes:
        raise ValueError(f"value_set of {check.field}: neither values nor a code list")
    return replace(check, settings=(("values", tuple(codes)),))
