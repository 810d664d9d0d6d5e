"""From a document to its model: every word that a file's own model refuses becomes a fault with line and remedy.

Files are written by people, and each run should tell them *all* that is wrong. So after its faults are noted, a
document is mended with neutral values and goes on to the checks that look across files; what was mended never leaves
this package, because a catalogue with faults is not returned.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from govbus.catalogue.document import Ambiguous, Document, Steps
from govbus.catalogue.faults import FaultCode
from govbus.errors import Fault

M = TypeVar("M")

MAX_MENDINGS = 6
"""A mended value can uncover faults behind it (a wrong `kind`, then its keys), so mending is repeated a few times."""

MENDED = "mended__"
"""A name that stands in for a wrong one; checks across files pass over it."""

NEUTRAL: Mapping[str, Any] = {
    "city": MENDED,
    "to": MENDED,
    "purpose": MENDED,
    "entity": MENDED,
    "subject": MENDED,
    "key": [MENDED],
    "fields": {MENDED: "pass"},
    "datasets": {MENDED: {"fields": {MENDED: "pass"}}},
    "title": "?",
    "division": "000000",
    "region": "000000",
    "code": "?",
    "contact": {"role": "?"},
    "role": "?",
    "resource_code": "100000/0",
    "share": "conditional",
    "update": {"cycle": "yearly"},
    "cycle": "yearly",
    "legal_basis": "?",
    "scenario": "?",
    "grade": "L1",
    "clearance": "L4",
    "until": "9999-12-31",
    "delivery": {"kind": "topic"},
}
"""What stands in for a required value that is missing or wrong: chosen so that no further check takes offence."""

_NEUTRAL_GRANT = {
    "to": MENDED,
    "purpose": MENDED,
    "legal_basis": "?",
    "until": "9999-12-31",
    "fields": {MENDED: "pass"},
}

_NEUTRAL_ENTRY: Mapping[str | int, Any] = {"grants": _NEUTRAL_GRANT, "checks": {"rule": MENDED}, "divisions": "00"}
"""What stands in for a wrong entry of a list, by the list's key. No division code begins with 0."""

SECRET_GRADES = frozenset({"secret", "top_secret", "confidential", "l5", "涉密", "秘密", "机密", "绝密", "核密"})


def suggestion(word: object, known: Sequence[str] | Mapping[str, object]) -> str:
    """Return ``; did you mean X?`` for the known word nearest to *word*, or the empty text."""
    near = get_close_matches(str(word), list(known), n=1, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near else ""


def modelled(
    document: Document,
    declared: Mapping[str, Any],
    parse: Callable[[Mapping[str, Any]], M],
    models: Sequence[type[BaseModel]],
    faults: list[Fault],
    *,
    at: Steps = (),
    neutral: Mapping[str, Any] = NEUTRAL,
    filled: frozenset[str] = frozenset(),
) -> M | None:
    """Return what *parse* makes of *declared*, a part of *document* standing at *at*; its faults go to *faults*.

    *models* are the pydantic models that *parse* may use, for the suggestions; *neutral* what stands in for required
    values; *filled* the keys that no file may write. None where even mending did not help.
    """
    value: Any = declared
    noted: set[Steps] = set()
    for _ in range(MAX_MENDINGS):
        try:
            return parse(value)
        except ValidationError as error:
            value = _copied(value)
            for each in error.errors(include_url=False):
                where = _steps(each["loc"], declared, each["type"])
                code, message = _explained(each, where, models, filled, at)
                if where not in noted and not isinstance(each.get("input"), Ambiguous):
                    faults.append(document.fault(code, message, *at, *where))
                noted.add(where)
                _mend(value, where, each["type"], neutral)
    return None


def _steps(loc: Steps, declared: Any, kind: str) -> Steps:
    """Return *loc* without the names that pydantic puts in for union members and keys."""
    steps: list[int | str] = []
    at: Any = declared
    for number, step in enumerate(loc):
        absent = kind == "missing" and number == len(loc) - 1
        if isinstance(at, dict) and (step in at or absent):
            steps.append(step)
            at = at.get(str(step))
        elif isinstance(at, list) and isinstance(step, int):
            steps.append(step)
            at = at[step] if step < len(at) else None
        elif isinstance(at, list):
            steps.append(step)
            at = _entry(at, step)
    return tuple(steps)


def _entry(entries: list[Any], name: int | str) -> Any:
    for entry in entries:
        if isinstance(entry, dict) and name in entry:
            return entry[name]
    return None


def _explained(
    error: ErrorDetails, where: Steps, models: Sequence[type[BaseModel]], filled: frozenset[str], at: Steps
) -> tuple[FaultCode, str]:
    """Return code and message of one pydantic error."""
    kind, given, context = error["type"], error.get("input"), error.get("ctx", {})
    key = str(where[-1]) if where else ""
    around = (*at, *where[:-1])
    inside = f" in {_dotted(around)}" if around else ""
    match kind:
        case "extra_forbidden":
            known = [key for key in _known_keys(models, where) if key not in filled]
            return FaultCode.UNKNOWN_KEY, f"unknown key {key}{inside}{suggestion(key, known)}{_listed(known)}"
        case "missing":
            return _missing(key, inside, where)
        case "literal_error" | "union_tag_invalid":
            if key == "grade" and str(given).lower() in SECRET_GRADES:
                return FaultCode.SECRET_FIELD, _SECRET
            given = context.get("tag", given) if kind == "union_tag_invalid" else given
            tag = "kind" if kind == "union_tag_invalid" else key
            words = re.findall(r"'([^']*)'", str(context.get("expected") or context.get("expected_tags")))
            hint = f"{suggestion(given, words)}; write one of: {', '.join(words)}"
            return FaultCode.UNKNOWN_WORD, f"unknown word {_shown(given)} for {tag}{inside}{hint}"
        case "union_tag_not_found":
            return FaultCode.MISSING_KEY, f"{key or 'this part'} has no kind: add kind: as its first key"
    if _blank(given) and key in ("legal_basis", "basis"):
        return FaultCode.MISSING_LEGAL_BASIS, f"{key}{inside} is empty: name the law and article, e.g. 《…法》第四条"
    if _blank(given) and key == "purpose":
        return (
            FaultCode.MISSING_PURPOSE,
            f"purpose{inside} is empty: write one of the purposes of schemas/elements.yaml",
        )
    if _blank(given) and key in ("title", "grade") and len(where) > 2 and where[-3] == "fields":
        return FaultCode.UNDOCUMENTED_FIELD, f"field {where[-2]} has no {key}: write it"
    return FaultCode.WRONG_VALUE, f"{_dotted((*at, *where)) or 'this file'}: {_demand(kind, given, error, context)}"


_SECRET = (
    "state and work secrets do not travel on this bus (政务数据共享条例 Art. 3): take the field out of the schema "
    "and of this file"
)


def _missing(key: str, inside: str, where: Steps) -> tuple[FaultCode, str]:
    if key in ("legal_basis", "basis"):
        return FaultCode.MISSING_LEGAL_BASIS, f"{key} is missing{inside}: name the law and article, e.g. 《…法》第四条"
    if key == "purpose":
        return (
            FaultCode.MISSING_PURPOSE,
            f"purpose is missing{inside}: write one of the purposes of schemas/elements.yaml",
        )
    if key in ("title", "grade") and len(where) > 2 and where[-3] == "fields":
        return FaultCode.UNDOCUMENTED_FIELD, f"field {where[-2]} has no {key}: add {key}: to its entry"
    return FaultCode.MISSING_KEY, f"{key} is missing{inside}: add it"


_FORMS = {
    r"^[a-z][a-z0-9_]{0,62}$": "a name of lower-case letters, digits and _, at most 63, starting with a letter",
    r"^\d{6}$": 'a division code of six digits in quotes, e.g. "890000"',
    r"^[123]\d{2}\d{3}\d*/\d{1,12}$": "a resource code: category, a slash and a number, e.g. 101001/000001",
    r"^[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*)*$": "a name of letters, digits and _, dots between its parts",
    r"^([a-z0-9_]+\.)?$": "empty, or lower-case letters, digits and _ with a dot at the end",
    r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)?$": "a table's name, with or without its schema",
    r"^[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*$": "an element: its entity, a dot and its own name, e.g. citizen.name",
    r"^\d{2,6}$": 'the first 2 to 6 digits of a division code in quotes, e.g. "8901"',
    r"^[a-z][a-z0-9_]*$": "a name of lower-case letters, digits and _, starting with a letter",
}
"""What a pattern means, in words."""


def _demand(kind: str, given: Any, error: ErrorDetails, context: Mapping[str, Any]) -> str:
    match kind:
        case "string_type":
            number = isinstance(given, int | float) or hasattr(given, "isoformat")
            return f'write it as a text in quotes, "{given}"' if number else "a text is expected"
        case "string_pattern_mismatch":
            return f"{_shown(given)} is not {_FORMS.get(context['pattern'], context['pattern'])}"
        case "string_too_short":
            return "it is empty"
        case "string_too_long":
            return f"it is longer than {context['max_length']} characters"
        case "date_type" | "date_parsing" | "date_from_datetime_parsing" | "date_from_datetime_inexact":
            return f"{_shown(given)} is not a day: write it YYYY-MM-DD, e.g. 2027-12-31"
        case "dict_type" | "model_type" | "model_attributes_type" | "mapping_type":
            return "a mapping of keys to values is expected"
        case "list_type" | "tuple_type":
            return "a list is expected, e.g. [a, b]"
        case "too_short":
            return "at least one entry is expected"
        case "value_error":
            return str(error["msg"]).removeprefix("Value error, ")
        case "greater_than_equal" | "less_than_equal" | "int_type" | "int_parsing" | "int_from_float":
            limit = (
                f" from {context['ge']}" if "ge" in context else f" up to {context['le']}" if "le" in context else ""
            )
            return f"{_shown(given)} is not a whole number{limit}"
        case "bool_type" | "bool_parsing":
            return "write true or false"
    return str(error["msg"])


def _shown(given: Any) -> str:
    text = "(a list or mapping)" if isinstance(given, dict | list) else "(nothing)" if given is None else str(given)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _blank(given: Any) -> bool:
    return given is None or (isinstance(given, str) and not given.strip())


def _dotted(where: Steps) -> str:
    parts = [f"[{step + 1}]" if isinstance(step, int) else f".{step}" for step in where]
    return "".join(parts).lstrip(".")


def _listed(known: Sequence[str]) -> str:
    return f" (known here: {', '.join(known)})" if known else ""


def _known_keys(models: Sequence[type[BaseModel]], where: Steps) -> Iterator[str]:
    """Yield the keys that the models allow at the place of the last step of *where*."""
    reached: list[Any] = list(models)
    for step in where[:-1]:
        reached = [inner for each in reached for inner in _into(each, step)]
    seen: set[str] = set()
    for each in reached:
        if isinstance(each, type) and issubclass(each, BaseModel):
            for name, field in each.model_fields.items():
                key = field.alias or name
                if key not in seen:
                    seen.add(key)
                    yield key


def _into(model: Any, step: int | str) -> Iterator[Any]:
    """Yield the types found at key or index *step* of *model*."""
    if isinstance(model, type) and issubclass(model, BaseModel):
        for name, field in model.model_fields.items():
            if step in (name, field.alias):
                yield from _parts(field.annotation)
        return
    arguments = get_args(model)
    if arguments:  # dict[K, V] or tuple[V, ...]
        yield from _parts(arguments[1] if len(arguments) == 2 and arguments[1] is not Ellipsis else arguments[0])


def _parts(annotation: Any) -> Iterator[Any]:
    """Yield the models and containers of a field's annotation, unions and Annotated opened."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        return
    arguments = get_args(annotation)
    origin = getattr(annotation, "__origin__", None)
    if origin in (dict, list, tuple):
        yield annotation
    elif hasattr(annotation, "__metadata__"):
        yield from _parts(arguments[0])
    else:
        for argument in arguments:
            yield from _parts(argument)


def _copied(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copied(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_copied(each) for each in value]
    return value


def _mend(value: Any, where: Steps, kind: str, neutral: Mapping[str, Any]) -> None:
    """Change *value* at *where* so that the next parse gets further: a neutral value, or without the part."""
    if not where:
        return
    holder = value
    for step in where[:-1]:
        if isinstance(holder, list):
            holder = holder[step] if isinstance(step, int) else _entry(holder, step)
        elif isinstance(holder, dict):
            holder = holder.get(str(step))
    last = where[-1]
    if isinstance(holder, list) and isinstance(last, int):
        stand_in = _NEUTRAL_ENTRY.get(where[-2] if len(where) > 1 else "", MENDED)
        holder[last] = dict(stand_in) if isinstance(stand_in, dict) else stand_in
    elif isinstance(holder, list):
        holder[:] = [each for each in holder if each != last and not (isinstance(each, dict) and last in each)]
    elif isinstance(holder, dict):
        key = str(last)
        stand_in = None if kind == "extra_forbidden" else _stand_in(where, kind, neutral)
        if stand_in is None or holder.get(key) == stand_in:
            holder.pop(key, None)
        else:
            holder[key] = stand_in


def _stand_in(where: Steps, kind: str, neutral: Mapping[str, Any]) -> Any:
    above = where[-2] if len(where) > 1 else ""
    if above in ("fields", "datasets"):
        if "type" not in kind:
            return None
        return {"fields": {MENDED: "pass"}} if above == "datasets" else {"title": "?", "grade": "L1"}
    return neutral.get(str(where[-1]))
