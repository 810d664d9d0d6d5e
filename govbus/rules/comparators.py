"""The comparators by name: how two copies of one fact are compared.

`COMPARATORS` is the table that declarations choose from; docs/comparators.md shows it. Everything a comparator needs
beyond this module's imports (tables of characters and of division codes) is read at its first use.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from types import MappingProxyType

from govbus.rules.addresses import ADDRESS_NORM
from govbus.rules.amounts import AMOUNT, NUMERIC
from govbus.rules.code_maps import CODE_MAP
from govbus.rules.comparator_kind import ComparatorKind
from govbus.rules.comparison import Comparator
from govbus.rules.divisions import DIVISION_PREFIX
from govbus.rules.identifiers import EXACT, ID_CANONICAL, USCC_CANONICAL
from govbus.rules.names_latin import NAME_LATIN
from govbus.rules.names_zh import NAME_ZH
from govbus.rules.organisation_names import ORG_NAME_NORM
from govbus.rules.partial_dates import DATE
from govbus.rules.periods import PERIOD_OVERLAP
from govbus.rules.sets import SET

COMPARATORS: Mapping[str, ComparatorKind] = MappingProxyType(
    {
        "exact": EXACT,
        "id_canonical": ID_CANONICAL,
        "uscc_canonical": USCC_CANONICAL,
        "name_zh": NAME_ZH,
        "name_latin": NAME_LATIN,
        "org_name_norm": ORG_NAME_NORM,
        "date": DATE,
        "division_prefix": DIVISION_PREFIX,
        "code_map": CODE_MAP,
        "numeric": NUMERIC,
        "amount": AMOUNT,
        "period_overlap": PERIOD_OVERLAP,
        "set": SET,
        "address_norm": ADDRESS_NORM,
    }
)
"""Every comparator by its name in declarations."""


def comparator(declared: str | Mapping[str, Mapping[str, object]]) -> Comparator:
    """Return the comparator that an element declares: ``name_zh``, or ``{numeric: {abs: 0.5, rel: 0.01}}``.

    Raises ValueError that says what to write instead: for an unknown comparator, for an unknown or ill-typed parameter,
    or where more than one is named.
    """
    if isinstance(declared, str):
        return _kind(declared).comparator({})
    if not isinstance(declared, Mapping) or len(declared) != 1:
        raise ValueError("a comparator is a name, or one name with its parameters: {numeric: {abs: 0.5}}")
    [(name, parameters)] = declared.items()
    kind = _kind(name)
    if parameters is not None and not isinstance(parameters, Mapping):
        raise ValueError(f"the parameters of {name} are a mapping: {', '.join(kind.parameters)}")
    try:
        return kind.comparator(parameters or {})
    except ValueError as wrong:
        raise ValueError(f"{name}: {wrong}") from None


def _kind(name: object) -> ComparatorKind:
    if isinstance(name, str) and name in COMPARATORS:
        return COMPARATORS[name]
    close = get_close_matches(str(name), COMPARATORS, 1)
    hint = f"; did you mean {close[0]}?" if close else ""
    raise ValueError(f"unknown comparator {name}; known: {', '.join(COMPARATORS)}{hint}")
