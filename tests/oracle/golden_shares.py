"""What an ask may hold of a golden view: what the grants of all its sources allow, row by row."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from oracle import masks, views
from oracle.avro import NULL, Branch, Field, Primitive, Record, Union
from oracle.crosschecks import Bound, CrossViews, bound_fields
from oracle.views import GRADES, Declared, Permission, Table

TEXT = Primitive("string")
ELEMENT_PARTS = ("value", "standing", "source", "version", "changed_at")


def sources(declared: Declared, entity: str) -> dict[str, list[Bound]]:
    """Return per element, in the order of the declarations, the fields that are its source, wholly or in part."""
    bound = bound_fields(declared, entity)
    names = [name.split(".")[1] for name in declared.vocabulary["elements"] if name.split(".")[0] == entity]
    return {name: [each for each in bound[name] if each.authority] for name in names if name in bound}


def golden_type(declared: Declared, entity: str) -> Record:
    """Return the type of a golden record: the id, and a record per element, whose value has its source's type."""
    out = Record(entity)
    out.fields.append(Field(declared.vocabulary["entities"][entity]["id"], TEXT, ()))
    for name, claims in sources(declared, entity).items():
        kind = masks.field_at(declared.business(claims[0].dataset), claims[0].path)
        assert kind is not None
        parts = Record(f"{name}_element")
        parts.fields.append(Field("value", Union((NULL, masks.optional(kind) or kind)), ()))
        parts.fields += [Field(part, TEXT, ()) for part in ELEMENT_PARTS[1:]]
        out.fields.append(Field(name, parts, ()))
    return out


def golden_permission(declared: Declared, ask_id: str, entity: str) -> Permission | str:
    """Return what an ask may see of a golden view, or in one word why nothing.

    Every department that is the source of something asked must have granted that field, and for the standing the
    standing; the shortest term counts.
    """
    ask, subscriber = declared.asks[ask_id], ask_id.split(".")[0]
    asked = ask["datasets"][f"golden.{entity}"]
    wanted = {path: mask for path, mask in views.mapping(asked["fields"]).items() if mask != "drop"}
    claims = sources(declared, entity)
    names = {path.split(".")[0] for path in wanted} & set(claims)
    until, grants = views.to_date(ask["until"]), {}
    for dataset in sorted({each.dataset for name in names for each in claims[name]}):
        grant = grant_of(declared, dataset, subscriber, ask["purpose"])
        if isinstance(grant, str):
            return grant
        grants[dataset] = grant
        if grant is not None:
            until = min(until, views.to_date(grant["until"]))
    if not grants:
        return "no_grant"
    clearance = declared.subscribers[subscriber]["clearance"]
    allowed = {path for path in wanted if _may(declared, entity, path, grants, clearance)}
    order = [each.name for each in golden_type(declared, entity).fields]
    fields = {
        path: wanted[path]
        for name in order
        for path in (name, *(f"{name}.{part}" for part in ELEMENT_PARTS))
        if path in allowed
    }
    return Permission(fields, None, asked.get("rows"), views.end_of(until))


def grant_of(declared: Declared, dataset: str, subscriber: str, purpose: str) -> dict[str, Any] | str | None:
    """Return the grant in force, None where the dataset needs none, or in one word why nothing leaves."""
    document = declared.datasets[dataset]
    if document["share"] == "not_shared":
        return "no_grant"
    if document["share"] == "unconditional":
        return None
    for grant in document["grants"]:
        if (grant["to"], grant["purpose"]) == (subscriber, purpose):
            return f"grant_{grant['state']}" if grant.get("state", "active") != "active" else grant
    return "no_grant"


def _may(
    declared: Declared, entity: str, path: str, grants: Mapping[str, dict[str, Any] | None], clearance: str
) -> bool:
    name, _, part = path.partition(".")
    bound = bound_fields(declared, entity)
    if name == declared.vocabulary["entities"][entity]["id"]:
        reporting = {each.dataset for fields in bound.values() for each in fields}
        documents = [declared.datasets[dataset] for dataset in reporting]
        return all(cleared(document["fields"][document["subject"]], clearance) for document in documents)
    claims = sources(declared, entity).get(name, [])
    if not claims or part not in ("value", "standing"):
        return False
    entries = [declared.datasets[each.dataset]["fields"][each.path] for each in claims]
    if part == "standing":
        reporters = [declared.datasets[each.dataset]["fields"][each.path] for each in bound[name]]
        listed = [each.path in (grants[each.dataset] or {}).get("standing", ()) for each in claims]
        return all(listed) and all(cleared(each, clearance) for each in reporters)
    return all(_granted(each.path, grants[each.dataset]) for each in claims) and all(
        cleared(each, clearance) and "share" not in each for each in entries
    )


def cleared(entry: Mapping[str, Any], clearance: str) -> bool:
    """Return whether a field is graded no higher than a clearance."""
    return GRADES.index(entry["grade"]) <= GRADES.index(clearance)


def _granted(path: str, grant: Mapping[str, Any] | None) -> bool:
    if grant is None:
        return True
    granted = views.mapping(grant["fields"])
    return path in granted or granted.get(path.split(".")[0]) == "pass"


def golden_rows(
    declared: Declared,
    ask_id: str,
    entity: str,
    cross: CrossViews,
    now: datetime,
    pseudonym_keys: Mapping[str, bytes],
) -> Table:
    """Return what an ask must hold of a golden view at the instant *now*.

    Where the row condition of a source's grant is not true of that source's record, its elements show nothing. An
    entity of which no asked element has a source that shows something has no row.
    """
    allowed = golden_permission(declared, ask_id, entity)
    if isinstance(allowed, str):
        return Table({}, reason=allowed)
    if now >= allowed.ends_at:
        return Table({}, reason="expired")
    ask, subscriber = declared.asks[ask_id], ask_id.split(".")[0]
    key = pseudonym_keys.get(f"{subscriber}.{ask['purpose']}")
    whole = golden_type(declared, entity)
    kind = views.view_type(whole, allowed.fields)
    assert isinstance(kind, Record)
    table = Table({}, kind)
    asked = {path.split(".")[0] for path in allowed.fields}
    identifier = declared.vocabulary["entities"][entity]["id"]
    for subject, elements in cross.golden.items():
        record: dict[str, Any] = {identifier: subject}
        some = False
        for name, golden in elements.items():
            withheld = _withheld(declared, golden.source, subscriber, ask["purpose"], cross, subject)
            raw = _raw(declared, entity, name, golden.source, cross, subject)
            shown = raw is not None and not withheld
            record[name] = {
                "value": Branch(1, raw) if shown else Branch(0, None),
                "standing": "unverified" if withheld else golden.standing,
                **dict.fromkeys(ELEMENT_PARTS[2:], ""),
            }
            some = some or (name in asked and bool(golden.source) and not withheld)
        released = views.released(whole, record, allowed, key) if some else None
        if released is not None:
            table.rows[views.share_key(subject, [identifier], allowed.fields, key)] = released
    return table


def _withheld(declared: Declared, source: str, subscriber: str, purpose: str, cross: CrossViews, subject: str) -> bool:
    grant = grant_of(declared, source, subscriber, purpose) if source else None
    if not isinstance(grant, dict) or grant.get("rows") is None:
        return False
    record = cross.reports[subject][source].record
    return masks.truth(grant["rows"], declared.business(source), record) != masks.YES


def _raw(declared: Declared, entity: str, name: str, source: str, cross: CrossViews, subject: str) -> Any:
    """Return the source's value as Avro has it."""
    if not source:
        return None
    (path,) = (each.path for each in bound_fields(declared, entity)[name] if each.dataset == source)
    return masks.value_at(declared.business(source), cross.reports[subject][source].record, path)[1]
