"""Random cities whose departments keep copies of the same facts, and later revisions of what is declared of them.

Entities have elements, elements a source (or a source per division) and up to four other datasets that carry them, one
or many records per subject, in fields that may be absent and under code lists and units of their own. Values are drawn
from small pools, so that copies agree, differ and nearly agree all the time.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from random import Random
from typing import Any

from oracle import avro, cities, generate, golden_shares, masks, policies, views
from oracle.avro import EPOCH_DAY, Branch, Primitive, Record
from oracle.crosschecks import bound_fields
from oracle.views import Declared

TEXT, DATE, LONG, TRUTH = "string", {"type": "int", "logicalType": "date"}, "long", "boolean"
MONEY = {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2}
LIST = {"type": "array", "items": "string"}
SUBJECTS = {
    "citizen_id": ["11010519491231002X", "440524188001010014", "890101200503140018", "890101200503140026"],
    "uscc": ["91350100M000100Y43", "918901000000004650", "91890100MA5TEXT03K"],
    "house_code": ["8901010001", "8901010002A", "89010100030101"],
}
STRANGERS = {
    "citizen_id": ["11010519491231002x", "11010519491231002X\t", "91350100M000100Y43", "110105194912310021", "x"],
    "uscc": ["91350100m000100y43", "11010519491231002X"],
    "house_code": ["8901", "8901010001a"],
}
"""Subjects of records that are about no such entity."""

DIVISIONS = ["890101", "890102", "890301", "890422", "110101"]
CODES = {"1": "甲", "2": "乙", "9": "未说明"}
LOCAL_CODES = {"M": "甲", "F": "乙", "X": "丙"}


@dataclass(frozen=True)
class Kind:
    """A kind of element: its type as declared, comparators that fit it, and per Avro type what registers write."""

    type: str
    comparators: tuple[Any, ...]
    pools: tuple[tuple[Any, tuple[Any, ...]], ...]


def days(*dates: date) -> tuple[int, ...]:
    """Return dates as Avro has them."""
    return tuple((each - EPOCH_DAY).days for each in dates)


_DAYS = days(date(1990, 3, 7), date(1990, 3, 8), date(1990, 3, 12), date(1991, 3, 7))
_SENTINELS = days(date(1900, 1, 1), date(9999, 12, 31))
KINDS: dict[str, Kind] = {
    "text": Kind("text", ("exact",), ((TEXT, ("A001", " A001", "a001", "B", "é", "e\u0301", "")),)),
    "person": Kind(
        "text",
        ("name_zh", "exact"),
        ((TEXT, ("张三", "张?", "张　三", "张*", "李四", "李 四", "买买提·江", "买买提．江", "张䶮")),),
    ),
    "body": Kind(
        "text",
        ("org_name_norm", "exact"),
        ((TEXT, ("甲（云海）有限公司", "甲(云海)有限公司", "甲(云海)有限责任公司", "乙有限公司")),),
    ),
    "number": Kind(
        "text",
        ("id_canonical", "exact"),
        ((TEXT, (SUBJECTS["citizen_id"][0], "110105194912310021", "110105491231002", *SUBJECTS["citizen_id"][1:2])),),
    ),
    "code": Kind("code", ("code_map", "exact"), ((TEXT, ("1", "2", "9")),)),
    "day": Kind(
        "date",
        ("date", {"date": {"tolerance_days": 3}}),
        ((DATE, (*_DAYS, *_SENTINELS)), (DATE, _DAYS)),
    ),
    "home": Kind(
        "code",
        (
            "division_prefix",
            {"division_prefix": {"digits": 4}},
            {"division_prefix": {"digits": 2}},
            {"division_prefix": {"successors": {"890104": "890101", "890304": "890301"}}},
        ),
        ((TEXT, (*DIVISIONS, "890104")),),
    ),
    "count": Kind(
        "number",
        ("numeric", {"numeric": {"abs": 1}}, {"numeric": {"rel": 0.1}}),
        ((LONG, (0, 5, 6, 7, 100, -5)), ("int", (0, 5, 6, 100))),
    ),
    "money": Kind(
        "number",
        ("amount", {"numeric": {"abs": 1}}, {"numeric": {"unit_a": "元", "unit_b": "分"}}),
        ((MONEY, (0, 500, 501, 50_000, 5_000_000)), (LONG, (0, 500, 501, 5))),
    ),
    "truth": Kind("boolean", ("exact",), ((TRUTH, (True, False)),)),
    "members": Kind("set", ("set",), ((LIST, ((), ("a",), ("a", "b"), ("b", "a"), ("a", "a", "b"))),)),
}


# A city ---------------------------------------------------------------------------------------------------------------


def city(rng: Random, start: date) -> Declared:
    """Return a random city with one or two kinds of entities, each with elements that several datasets carry."""
    declared = Declared(
        city={
            "city": "testcity",
            "title": "测试市",
            "division": "890000",
            "partitions": rng.choice([1, 2, 3]),
            "max_record_bytes": 8192,
        },
        datasets={},
        schemas={},
        subscribers={},
        asks={},
        vocabulary={
            "entities": {},
            "elements": {},
            "code_lists": {"norm": dict(CODES), "local": dict(LOCAL_CODES)},
            "code_maps": {"local": {"to": "norm", "codes": {"M": "1", "F": "2"}}},
        },
    )
    for name, form in rng.sample(
        sorted({"citizen": "citizen_id", "house": "house_code"}.items()), rng.choice([1, 1, 2])
    ):
        _add_entity(rng, declared, name, form)
    for name in ("gamma", "delta")[: rng.randint(1, 2)]:
        declared.subscribers[name] = {"clearance": rng.choice(["L2", "L3", "L3", "L4"])}
        for number in range(rng.randint(1, 2)):
            declared.asks[f"{name}.ask{number}"] = {
                "purpose": f"purpose{rng.randint(0, 1)}",
                "until": cities.until(rng, start),
                "datasets": {},
            }
    for name in declared.datasets:
        cities.draw_sharing(rng, declared, name, start)
    for entity in entities_of(declared):
        draw_golden(rng, declared, entity, start)
    return declared


def _add_entity(rng: Random, declared: Declared, entity: str, form: str) -> None:
    declared.vocabulary["entities"][entity] = {"title": "实体", "id": f"{entity}_no", "format": form}
    departments = ["alpha", "beta", "kappa", "sigma"]
    datasets = [f"{rng.choice(departments)}.{entity}_{letter}" for letter in "abcde"[: rng.randint(2, 5)]]
    for dataset in datasets:
        key = ["id"] if rng.random() < 0.6 else ["id", "no"]
        declared.schemas[dataset] = {
            "type": "record",
            "name": dataset.split(".")[1],
            "fields": [{"name": path, "type": TEXT} for path in ("id", "no", "place", "note")],
        }
        declared.datasets[dataset] = {
            "entity": entity,
            "subject": "id",
            "key": key,
            "share": "conditional",
            "versions": "time",
            "epoch": 0,
            "update": _update(rng),
            "fields": {
                path: {"title": "项", "grade": rng.choice(["L1", "L2", "L3"])} for path in ("id", "no", "place")
            },
            "grants": [],
        }
        declared.datasets[dataset]["fields"]["note"] = {"title": "项", "grade": "L2"}
        for path in key:
            declared.datasets[dataset]["fields"][path]["grade"] = "L2"
    for name in rng.sample(sorted(KINDS), rng.randint(1, 4)):
        _add_element(rng, declared, entity, name, rng.sample(datasets, rng.randint(1, len(datasets))))


def _update(rng: Random) -> dict[str, Any]:
    cycle = rng.choice(["realtime", "daily", "daily", "weekly", "monthly", "yearly", "irregular"])
    return {"cycle": cycle} | ({"max_age": rng.choice(["1h", "2d"])} if cycle == "irregular" else {})


def _add_element(rng: Random, declared: Declared, entity: str, name: str, datasets: list[str]) -> None:
    kind = KINDS[name]
    element: dict[str, Any] = {
        "title": "数据元",
        "definition": "定义",
        "type": kind.type,
        "comparator": rng.choice(kind.comparators),
        "severity": rng.choice(["critical", "major", "minor", "info"]),
    }
    if name == "code":
        element["codes"] = "norm"
    if rng.random() < 0.5:
        element["grace"] = rng.choice(["0s", "10m", "2h", "3d"])
    declared.vocabulary["elements"][f"{entity}.{name}"] = element
    for dataset in datasets:
        _bind(rng, declared, f"{entity}.{name}", dataset)
    move_authority(rng, declared, f"{entity}.{name}")


def _bind(rng: Random, declared: Declared, element: str, dataset: str, *, later: bool = False) -> None:
    """Give *dataset* a field that carries *element*, sometimes inside a record, sometimes absent.

    One that comes *later*, when there are records already, can always be absent.
    """
    name = element.split(".")[1]
    kind = KINDS[name]
    avro_type = rng.choice(kind.pools)[0]
    entry: dict[str, Any] = {"title": "项", "grade": rng.choice(["L1", "L2", "L2", "L3", "L4"]), "element": element}
    if name == "code":
        entry["codes"] = rng.choice(["norm", "local"])
    if name == "money":
        entry["unit"] = "分" if avro_type == LONG else "元"
    written = {"name": name, "type": copy.deepcopy(avro_type)}
    if later or rng.random() < 0.5:
        written |= {"type": ["null", written["type"]], "default": None}
    fields = declared.schemas[dataset]["fields"]
    path = name
    if not later and rng.random() < 0.2:
        path = f"of_{name}.{name}"
        inner = {"type": "record", "name": f"Of{name.title()}", "fields": [written]}
        written = {"name": f"of_{name}", "type": inner}
        declared.datasets[dataset]["fields"][f"of_{name}"] = {"title": "组", "grade": entry["grade"]}
    fields.insert(rng.randint(0, len(fields)), written)
    declared.datasets[dataset]["fields"][path] = entry


def move_authority(rng: Random, declared: Declared, element: str) -> None:
    """Say anew who has the authority over *element*: one dataset, or several, each for divisions of its own."""
    carriers = list(_carriers(declared, element))
    for dataset, path in carriers:
        declared.datasets[dataset]["fields"][path].pop("authoritative", None)
    first = rng.choice(carriers)
    same = [each for each in carriers if source_type(declared, *each) == source_type(declared, *first)]
    if rng.random() < 0.65 or len(same) == 1:
        declared.datasets[first[0]]["fields"][first[1]]["authoritative"] = True
        return
    sharers = rng.sample(same, rng.randint(2, min(3, len(same))))
    prefixes = rng.choice([["8901", "8903", "11"], ["890101", "890102", "8903"], ["89", "1101", "8801"]])
    for number, (dataset, path) in enumerate(sharers):
        own = [prefix for at, prefix in enumerate(prefixes) if at % len(sharers) == number]
        declared.datasets[dataset]["fields"][path]["authoritative"] = {"by": "place", "divisions": own}


def _carriers(declared: Declared, element: str) -> Iterator[tuple[str, str]]:
    for dataset, document in declared.datasets.items():
        for path, entry in document["fields"].items():
            if entry.get("element") == element:
                yield dataset, path


def source_type(declared: Declared, dataset: str, path: str) -> Any:
    """Return what has to be equal between fields that share an authority: type, code list and unit."""
    kind = masks.field_at(declared.business(dataset), path)
    assert kind is not None
    entry = declared.datasets[dataset]["fields"][path]
    return masks.optional(kind) or kind, entry.get("codes"), entry.get("unit")


# Later revisions ------------------------------------------------------------------------------------------------------


def revised(rng: Random, declared: Declared, start: date) -> Declared:
    """Return a later state of the city: authorities move, comparators and grace change, bindings come and go."""
    later = copy.deepcopy(declared)
    for _ in range(rng.randint(1, 3)):
        if not later.vocabulary["elements"]:
            break
        element = rng.choice(sorted(later.vocabulary["elements"]))
        entity, name = element.split(".")
        match rng.randrange(11):
            case 0 | 1:
                move_authority(rng, later, element)
            case 2:
                later.vocabulary["elements"][element]["comparator"] = rng.choice(KINDS[name].comparators)
            case 3:
                later.vocabulary["elements"][element]["grace"] = rng.choice(["0s", "1h", "4d", "30d"])
            case 4:
                later.vocabulary["code_maps"]["local"]["codes"] = rng.choice(
                    [{"M": "1", "F": "2"}, {"M": "2", "F": "1"}]
                )
            case 5:
                dataset = rng.choice([each for each in later.datasets if later.datasets[each]["entity"] == entity])
                later.datasets[dataset]["update"] = _update(rng)
            case 6:
                _rebind(rng, later, element)
            case 7:
                cities.draw_sharing(rng, later, rng.choice(sorted(later.datasets)), start)
            case 8:
                later.datasets[rng.choice(sorted(later.datasets))]["epoch"] += 1
            case 9:
                _widen(rng, later, element)
            case 10 if rng.random() < 0.3:
                _drop(later, element)
    for entity in later.vocabulary["entities"]:
        if rng.random() < 0.2 or _asked_otherwise(declared, later, entity):
            draw_golden(rng, later, entity, start)
    return later


def _asked_otherwise(declared: Declared, later: Declared, entity: str) -> bool:
    """Return whether an ask for the golden view may have to be another one: its type, sources or grants changed."""
    said = [
        [golden_shares.golden_type(each, entity), golden_shares.sources(each, entity), _grants(each, entity)]
        for each in (declared, later)
    ]
    return repr(said[0]) != repr(said[1])


def _grants(declared: Declared, entity: str) -> list[Any]:
    documents = [each for each in declared.datasets.values() if each["entity"] == entity]
    return [[each["share"], each["fields"], each["grants"]] for each in documents]


def _widen(rng: Random, declared: Declared, element: str) -> None:
    """Give a dataset that has no field for an element a new one, which older records do not have."""
    entity, name = element.split(".")
    without = [
        dataset
        for dataset, document in declared.datasets.items()
        if document["entity"] == entity and not any(path.split(".")[-1] == name for path in document["fields"])
    ]
    if without:
        _bind(rng, declared, element, rng.choice(without), later=True)


def _drop(declared: Declared, element: str) -> None:
    """Withdraw an element: its fields stay, and carry nothing any more."""
    del declared.vocabulary["elements"][element]
    for document in declared.datasets.values():
        for entry in document["fields"].values():
            if entry.get("element") == element:
                del entry["element"]
                entry.pop("authoritative", None)


def _rebind(rng: Random, declared: Declared, element: str) -> None:
    """Take an element from fields that are not its source, and bind it again where a field for it is still there."""
    entity, name = element.split(".")
    for document in declared.datasets.values():
        for path, entry in document["fields"].items():
            if document["entity"] != entity or path.split(".")[-1] != name or "authoritative" in entry:
                continue
            if rng.random() < 0.5:
                entry.pop("element", None)
            else:
                entry["element"] = element


# Asks for golden views ------------------------------------------------------------------------------------------------


def draw_golden(rng: Random, declared: Declared, entity: str, start: date) -> None:
    """Draw anew what is asked of the golden view of *entity*; most of what is missing for it is granted."""
    identifier = declared.vocabulary["entities"][entity]["id"]
    claims = golden_shares.sources(declared, entity)
    for ask_id, ask in declared.asks.items():
        ask["datasets"].pop(f"golden.{entity}", None)
        if not claims or rng.random() < 0.25:
            continue
        subscriber = ask_id.split(".")[0]
        fields: dict[str, Any] = {identifier: rng.choice(["pass", "pass", "pseudonym", "drop"])}
        for name in rng.sample(sorted(claims), rng.randint(1, len(claims))):
            if rng.random() < 0.8:
                for each in claims[name]:
                    _grant(rng, declared, each.dataset, each.path, subscriber, ask["purpose"], start)
            least = [_least(declared, each.dataset, each.path, subscriber, ask["purpose"]) for each in claims[name]]
            if all(each == least[0] for each in least) and least[0] is not None:
                fields[f"{name}.value"] = policies.stricter(least[0], rng)
            if rng.random() < 0.6:
                fields[f"{name}.standing"] = "pass"
        ask["datasets"][f"golden.{entity}"] = asked = {"fields": fields}
        allowed = golden_shares.golden_permission(declared, ask_id, entity)
        if isinstance(allowed, views.Permission):
            asked["fields"] = fields = {path: mask for path, mask in fields.items() if path in allowed.fields}
        if not {path.split(".")[0] for path in fields} - {identifier}:
            del ask["datasets"][f"golden.{entity}"]
            continue
        if rng.random() < 0.3 and isinstance(allowed, views.Permission):
            whole = golden_shares.golden_type(declared, entity)
            samples = [generate.Values(rng).of(whole) for _ in range(3)]
            rows = cities.rows_of_view(rng, whole, allowed.fields, samples)
            if rows is not None:
                asked["rows"] = rows


def _grant(
    rng: Random, declared: Declared, dataset: str, path: str, subscriber: str, purpose: str, start: date
) -> None:
    """Have the owner grant a field where its grade allows, and often what is known of its standing too."""
    document = declared.datasets[dataset]
    entry = document["fields"][path]
    if document["share"] != "conditional" or not golden_shares.cleared(
        entry, declared.subscribers[subscriber]["clearance"]
    ):
        return
    grant = next((g for g in document["grants"] if (g["to"], g["purpose"]) == (subscriber, purpose)), None)
    if grant is None:
        if any(dataset in ask["datasets"] for ask in declared.asks.values() if ask["purpose"] == purpose):
            return  # that ask was drawn to go without
        grant = {"to": subscriber, "purpose": purpose, "until": cities.until(rng, start), "fields": {}}
        grant["state"] = rng.choice(["active"] * 12 + ["suspended"])
        document["grants"].append(grant)
    fields = views.mapping(grant["fields"])
    kind = masks.field_at(declared.business(dataset), path)
    assert kind is not None
    if fields.get(path.split(".")[0]) != "pass":
        applicable = [mask for mask in policies.applicable(kind, rng) if mask not in ("drop", "null")]
        fields.setdefault(path, rng.choice(["pass", *applicable]))
    grant["fields"] = fields
    if rng.random() < 0.7 and path in fields:
        grant["standing"] = sorted({*grant.get("standing", ()), path})


def _least(declared: Declared, dataset: str, path: str, subscriber: str, purpose: str) -> Any:
    """Return the least mask under which a field is granted, or None where it is not."""
    grant = golden_shares.grant_of(declared, dataset, subscriber, purpose)
    if not isinstance(grant, dict):
        return "pass" if grant is None else None
    fields = views.mapping(grant["fields"])
    return fields.get(path, "pass" if fields.get(path.split(".")[0]) == "pass" else None)


# Records --------------------------------------------------------------------------------------------------------------


def subject_of(rng: Random, declared: Declared, dataset: str) -> str:
    """Return a subject for a record of *dataset*: mostly one of the few entities, now and then a stranger."""
    form = declared.vocabulary["entities"][declared.datasets[dataset]["entity"]]["format"]
    if rng.random() < 0.08:
        return rng.choice(STRANGERS[form])
    return rng.choice(SUBJECTS[form][: rng.choice([1, 2, 4])])


def record_of(rng: Random, declared: Declared, dataset: str, key: tuple[Any, ...]) -> Any:
    """Return a record of *dataset* under a key, its values from the pools; the note is for nobody to compare."""
    document, business = declared.datasets[dataset], declared.business(dataset)
    value = _record(rng, declared, dataset, business, "")
    for path, part in zip(document["key"], key, strict=True):
        value[path] = part
    return value


def _record(rng: Random, declared: Declared, dataset: str, kind: Record, prefix: str) -> dict[str, Any]:
    out = {}
    for each in kind.fields:
        path = prefix + each.name
        inner = masks.optional(each.type)
        if isinstance(each.type, Record):
            out[each.name] = _record(rng, declared, dataset, each.type, f"{path}.")
        elif inner is None:
            out[each.name] = _value(rng, declared, dataset, path, each.type)
        elif rng.random() < 0.25:
            out[each.name] = Branch(0, None)
        else:
            out[each.name] = Branch(1, _value(rng, declared, dataset, path, inner))
    return out


def _value(rng: Random, declared: Declared, dataset: str, path: str, kind: avro.Type) -> Any:
    name = path.split(".")[-1]
    if name == "no":
        return rng.choice("abc")
    if name == "place":
        return rng.choice(DIVISIONS)
    if name not in KINDS:
        return rng.choice(["", "x", "y"]) + cities.canary(dataset, path)
    if declared.datasets[dataset]["fields"][path].get("codes") == "local":
        return rng.choice(sorted(LOCAL_CODES))
    pool = rng.choice([values for each, values in KINDS[name].pools if avro.parse(each) == kind])
    value = rng.choice(pool[:2] if rng.random() < 0.5 else pool)
    return written(kind, value)


def written(kind: avro.Type, value: Any) -> Any:
    """Return a value of a pool as Avro has it: sums of money as the bytes of a decimal, sets as lists."""
    if isinstance(kind, Primitive) and kind.name == "bytes":
        return value.to_bytes((value.bit_length() // 8) + 1, "big", signed=True)
    return list(value) if isinstance(value, tuple) else value


def entities_of(declared: Declared) -> list[str]:
    """Return the kinds of entities that have a golden view."""
    return [entity for entity in declared.vocabulary["entities"] if bound_fields(declared, entity)]
