"""The golden and the discrepancy view by example: a city of three registers, small enough to work out by hand."""

from __future__ import annotations

import copy
from datetime import UTC, date, datetime
from typing import Any

import pytest

from oracle.avro import EPOCH_DAY, Branch
from oracle.crosschecks import CrossViews, Difference, Golden, Report, cross_views, grace_seconds, in_units
from oracle.golden_shares import golden_rows
from oracle.views import Declared, Table

POLICE, SCHOOL, WELFARE = "police.people", "school.pupils", "welfare.aid"
ID, OTHER = "11010519491231002X", "440524188001010014"
HOUR = 3_600_000_000
NOON = 1_780_000_000_000_000
"""An instant, in microseconds. Registers change by it, an hour before or after."""

OPTIONAL_TEXT = {"type": ["null", "string"], "default": None}
FIELDS: dict[str, dict[str, Any]] = {
    POLICE: {"name": {"type": "string"}, "sex": OPTIONAL_TEXT, "division": {"type": "string"}},
    SCHOOL: {"school": {"type": "string"}, "name": OPTIONAL_TEXT, "gender": OPTIONAL_TEXT},
    WELFARE: {"name": OPTIONAL_TEXT, "division": {"type": "string"}},
}
VOCABULARY = {
    "entities": {"citizen": {"title": "自然人", "id": "citizen_id", "format": "citizen_id"}},
    "code_lists": {"sex": {"1": "男", "2": "女"}, "gender": {"M": "男", "F": "女", "X": "?"}},
    "code_maps": {"gender": {"to": "sex", "codes": {"M": "1", "F": "2"}}},
    "elements": {
        "citizen.name": {"type": "text", "comparator": "name_zh", "severity": "major"},
        "citizen.sex": {"type": "code", "comparator": "code_map", "severity": "major", "codes": "sex"},
    },
}
BINDINGS: dict[str, dict[str, Any]] = {
    POLICE: {
        "name": {"element": "citizen.name", "authoritative": True},
        "sex": {"element": "citizen.sex", "authoritative": True, "codes": "sex"},
    },
    SCHOOL: {"name": {"element": "citizen.name"}, "gender": {"element": "citizen.sex", "codes": "gender"}},
    WELFARE: {"name": {"element": "citizen.name"}},
}
CYCLES = {POLICE: "daily", SCHOOL: "weekly", WELFARE: "monthly"}


def city(**changes: Any) -> Declared:
    """The city; ``police__name={…}`` replaces what a field is bound to, ``name={…}`` entries of an element."""
    bindings, vocabulary = copy.deepcopy(BINDINGS), copy.deepcopy(VOCABULARY)
    for place, value in changes.items():
        department, _, path = place.partition("__")
        if path:
            bindings[next(each for each in FIELDS if each.startswith(department))][path] = value
        else:
            vocabulary["elements"][f"citizen.{department}"] |= value
    datasets, schemas = {}, {}
    for dataset, fields in FIELDS.items():
        key = ["id", "school"] if dataset == SCHOOL else ["id"]
        datasets[dataset] = {
            "entity": "citizen",
            "key": key,
            "update": {"cycle": CYCLES[dataset]},
            "fields": {path: bindings[dataset].get(path, {}) for path in ["id", *fields]},
        }
        listed = [{"name": "id", "type": "string"}, *({"name": name, **kind} for name, kind in fields.items())]
        schemas[dataset] = {"type": "record", "name": dataset.split(".")[1], "fields": listed}
    return Declared({}, datasets, schemas, {}, {}, vocabulary)


class Registers:
    """What the three registers hold."""

    def __init__(self) -> None:
        self.records: dict[str, list[Report]] = {}

    def say(self, dataset: str, *, at: int = NOON, version: int = 1, subject: str = ID, **values: Any) -> Registers:
        """Add a record with *values*, texts or None, changed by its source at *at* microseconds."""
        record: dict[str, Any] = {"id": subject}
        for name, kind in FIELDS[dataset].items():
            value = values.get(name, "" if kind["type"] == "string" else None)
            record[name] = value if kind["type"] == "string" else Branch(int(value is not None), value)
        key = subject + (f"\x1f{record['school']}" if dataset == SCHOOL else "")
        self.records.setdefault(dataset, []).append(Report(key, version, at, record))
        return self

    def views(self, clock: int = NOON + 400 * 24 * HOUR, **changes: Any) -> CrossViews:
        """Work out the views at *clock* microseconds, by default long after every grace has ended."""
        return cross_views(city(**changes), "citizen", self.records, clock // 1000)


def test_the_value_is_the_authoritys_whatever_the_others_say() -> None:
    """Two reports that agree with each other do not outvote the one source (§5.2)."""
    views = Registers().say(POLICE, name="张三").say(SCHOOL, name="张叁").say(WELFARE, name="张叁").views()
    assert views.golden[ID]["name"] == Golden("张三", "disputed", POLICE)
    assert views.discrepancies == {
        (ID, "name", SCHOOL): Difference("张三", "张叁", "DIFFERENT", (1, 1)),
        (ID, "name", WELFARE): Difference("张三", "张叁", "DIFFERENT", (1, 1)),
    }


def test_a_difference_of_writing_alone_is_none() -> None:
    """Middle dots and blanks agree; a placeholder decides nothing (§5.3, §5.8 no. 5)."""
    views = Registers().say(POLICE, name="买买提·吐尔逊").say(SCHOOL, name="买买提．吐尔逊").views()
    assert views.golden[ID]["name"].standing == "agreed"
    views = Registers().say(POLICE, name="张䶮").say(SCHOOL, name="张?").views()
    assert views.golden[ID]["name"].standing == "unverified"
    assert views.discrepancies == {}


def test_absence_is_no_mismatch() -> None:
    """A reporter that says nothing, or has no record, makes no row (§8.3 no. 4)."""
    views = Registers().say(POLICE, name="张三").say(SCHOOL, name=None).views()
    assert views.golden[ID]["name"] == Golden("张三", "unverified", POLICE)
    assert views.compared[ID, "name", SCHOOL] == "MISSING_B"
    assert (ID, "name", WELFARE) not in views.compared
    assert not views.discrepancies


def test_a_value_that_only_others_have_is_provisional_and_not_delivered() -> None:
    """Without the source's record or value the golden value is null (§5.2 no. 2)."""
    views = Registers().say(SCHOOL, name="张三").views()
    assert views.golden[ID]["name"] == Golden(None, "provisional", "")
    assert views.golden[ID]["sex"] == Golden(None, "unverified", "")
    views = Registers().say(POLICE, name="张三", sex=None).say(SCHOOL, gender="M").views()
    assert views.golden[ID]["sex"] == Golden(None, "provisional", POLICE)
    assert views.compared[ID, "sex", SCHOOL] == "MISSING_A"


@pytest.mark.parametrize(
    ("gender", "standing", "result"),
    [
        ("M", "agreed", "EQUAL"),
        ("F", "disputed", "DIFFERENT"),
        ("X", "unverified", "INVALID_B"),
    ],
)
def test_codes_of_a_list_of_ones_own_are_translated_first(gender: str, standing: str, result: str) -> None:
    """M is 1 and F is 2; a code without a counterpart is the reporter's fault, and no case."""
    views = Registers().say(POLICE, sex="1").say(SCHOOL, gender=gender).views()
    assert views.golden[ID]["sex"] == Golden("1", standing, POLICE)
    assert views.compared[ID, "sex", SCHOOL] == result


def test_numbers_are_in_the_units_of_their_fields() -> None:
    """The parameters of a comparator go before them; a unit that only one field has says nothing."""
    assert in_units("amount", "元", "分") == {"amount": {"unit_a": "元", "unit_b": "分"}}
    assert in_units({"numeric": {"unit_b": "元"}}, "万元", "分") == {"numeric": {"unit_a": "万元", "unit_b": "元"}}
    for comparator, units in (("exact", ("元", "分")), ("amount", ("元", None)), ("numeric", (None, "分"))):
        assert in_units(comparator, *units) == comparator


def test_an_invalid_value_of_the_source_is_a_discrepancy() -> None:
    """INVALID of the authority opens a case, of the reporter it does not (§5.3)."""
    registers = Registers().say(POLICE, name="110105194912310021").say(SCHOOL, name=ID)
    views = registers.views(name={"comparator": "id_canonical"})
    assert views.golden[ID]["name"].standing == "disputed"
    assert views.discrepancies[ID, "name", SCHOOL].result == "INVALID_A"


@pytest.mark.parametrize(
    ("hours_after", "result", "standing"),
    [(0, "STALE_B", "unverified"), (251, "STALE_B", "unverified"), (252, "DIFFERENT", "disputed")],
)
def test_a_report_older_than_the_sources_change_has_its_grace(hours_after: int, result: str, standing: str) -> None:
    """A weekly register has ten days and a half to follow (1.5 cycles); at their very end it differs (§5.4)."""
    registers = Registers().say(POLICE, name="李四").say(SCHOOL, name="张三", at=NOON - HOUR)
    views = registers.views(NOON + hours_after * HOUR)
    assert views.compared[ID, "name", SCHOOL] == result
    assert views.golden[ID]["name"] == Golden("李四", standing, POLICE)


@pytest.mark.parametrize(
    ("hours_after", "result", "standing"),
    [(35, "STALE_A", "stale"), (36, "DIFFERENT", "disputed")],
)
def test_a_report_newer_than_the_sources_leaves_the_source_its_grace(
    hours_after: int, result: str, standing: str
) -> None:
    """A daily source has a day and a half to follow what another register knows already."""
    registers = Registers().say(POLICE, name="李四", at=NOON - HOUR).say(SCHOOL, name="张三")
    views = registers.views(NOON + hours_after * HOUR)
    assert views.compared[ID, "name", SCHOOL] == result
    assert views.golden[ID]["name"] == Golden("李四", standing, POLICE)


def test_changes_of_one_instant_have_no_grace() -> None:
    """Two registers that changed at the same time and differ simply differ."""
    views = Registers().say(POLICE, name="李四").say(SCHOOL, name="张三").views(NOON)
    assert views.compared[ID, "name", SCHOOL] == "DIFFERENT"


def test_one_that_lags_hides_no_other_that_differs() -> None:
    """Disputed goes before stale, stale before agreed."""
    registers = Registers().say(POLICE, name="李四", at=NOON - HOUR).say(SCHOOL, name="张三")
    registers.say(WELFARE, name="李四", at=NOON - HOUR)
    assert registers.views(NOON).golden[ID]["name"].standing == "stale"
    registers = Registers().say(POLICE, name="李四", at=NOON - HOUR).say(SCHOOL, name="张三")
    registers.say(WELFARE, name="王五", at=NOON - HOUR)
    assert registers.views(NOON).golden[ID]["name"].standing == "disputed"


@pytest.mark.parametrize(
    ("update", "grace"),
    [
        ({"cycle": "realtime"}, 15 * 60),
        ({"cycle": "daily"}, 36 * 3600),
        ({"cycle": "weekly"}, 252 * 3600),
        ({"cycle": "monthly"}, 45 * 86400),
        ({"cycle": "yearly"}, 45 * 86400),
        ({"cycle": "irregular", "max_age": "10d"}, 15 * 86400),
        ({"cycle": "daily", "max_age": "30d"}, 36 * 3600),
    ],
)
def test_grace_is_one_and_a_half_cycles_of_the_laggard(update: dict[str, Any], grace: int) -> None:
    """At least 15 minutes and at most 45 days; an irregular dataset's own greatest age stands for a cycle."""
    declared = city()
    declared.datasets[SCHOOL]["update"] = update
    assert grace_seconds(declared, "citizen.name", SCHOOL) == grace
    declared.vocabulary["elements"]["citizen.name"]["grace"] = "90d"
    assert grace_seconds(declared, "citizen.name", SCHOOL) == 90 * 86400


def test_of_several_records_the_newest_version_reports() -> None:
    """A pupil at two schools is reported by the record of the higher version, then the greater key."""
    registers = Registers().say(POLICE, name="张三").say(SCHOOL, school="b", name="张三", version=7)
    registers.say(SCHOOL, school="a", name="李四", version=8)
    assert registers.views().discrepancies[ID, "name", SCHOOL].versions == (1, 8)
    registers.say(SCHOOL, school="c", name="张三", version=8)
    assert registers.views().discrepancies == {}


def test_authority_may_be_split_by_division() -> None:
    """Who has it is decided by the records' own divisions; the other one is a report like any other."""
    split = {
        "police__name": {"element": "citizen.name", "authoritative": {"by": "division", "divisions": ["8901", "11"]}},
        "welfare__name": {"element": "citizen.name", "authoritative": {"by": "division", "divisions": ["8903"]}},
    }
    registers = Registers().say(POLICE, name="张三", division="890301").say(WELFARE, name="李四", division="890302")
    views = registers.views(**split)
    assert views.golden[ID]["name"] == Golden("李四", "disputed", WELFARE)
    assert set(views.discrepancies) == {(ID, "name", POLICE)}
    registers = Registers().say(POLICE, name="张三", division="890301").say(WELFARE, name="李四", division="110101")
    views = registers.views(**split)
    assert views.golden[ID]["name"] == Golden(None, "provisional", "")


def test_two_claims_are_disputed_even_where_the_values_agree() -> None:
    """The longer prefix has it, then the smaller dataset id; that both claim it is itself the dispute."""
    split = {
        "police__name": {"element": "citizen.name", "authoritative": {"by": "division", "divisions": ["8901"]}},
        "welfare__name": {"element": "citizen.name", "authoritative": {"by": "division", "divisions": ["890301"]}},
    }
    registers = Registers().say(POLICE, name="张三", division="890101").say(WELFARE, name="张三", division="890301")
    views = registers.views(**split)
    assert views.golden[ID]["name"] == Golden("张三", "disputed", WELFARE)
    assert views.compared == {(ID, "name", POLICE): "EQUAL"}
    split["welfare__name"]["authoritative"]["divisions"] = ["8903"]
    assert registers.views(**split).golden[ID]["name"] == Golden("张三", "disputed", POLICE)


def test_a_record_of_another_kind_of_subject_is_about_nobody() -> None:
    """An owner that is a company, or an id that is not canonical, makes no citizen."""
    registers = Registers().say(POLICE, name="张三", subject="91350100M000100Y43").say(SCHOOL, subject=ID.lower())
    assert registers.views().golden == {}


def test_every_entity_that_is_reported_has_a_row() -> None:
    """A golden row is there as soon as any bound dataset knows of the entity, and none where nobody does."""
    views = Registers().say(WELFARE, name=None, subject=OTHER).views()
    assert views.golden == {OTHER: {"name": Golden(None, "unverified", ""), "sex": Golden(None, "unverified", "")}}


def test_an_authority_that_moves_takes_the_value_with_it() -> None:
    """Under the later declaration the other department's value is the golden one, and the former source reports."""
    registers = Registers().say(POLICE, name="张三").say(SCHOOL, name="张叁")
    moved = {
        "police__name": {"element": "citizen.name"},
        "school__name": {"element": "citizen.name", "authoritative": True},
    }
    views = registers.views(**moved)
    assert views.golden[ID]["name"] == Golden("张叁", "disputed", SCHOOL)
    assert set(views.discrepancies) == {(ID, "name", POLICE)}


def test_dates_come_as_days_and_sentinels_as_nothing() -> None:
    """1900-01-01 in a register means that the date is not known (§5.3, §5.8 no. 10)."""
    declared = city(name={"type": "date", "comparator": "date"})
    for dataset in (POLICE, SCHOOL):
        (field,) = [each for each in declared.schemas[dataset]["fields"] if each["name"] == "name"]
        field["type"] = {"type": "int", "logicalType": "date"}
        field.pop("default", None)
    sentinel = (date(1900, 1, 1) - EPOCH_DAY).days
    records = {
        POLICE: [Report(ID, 1, NOON, {"id": ID, "name": 7370, "sex": Branch(0, None), "division": ""})],
        SCHOOL: [Report(f"{ID}\x1f", 1, NOON, {"id": ID, "school": "", "name": sentinel, "gender": Branch(0, None)})],
    }
    views = cross_views(declared, "citizen", records, NOON // 1000)
    assert views.compared[ID, "name", SCHOOL] == "MISSING_B"
    assert views.golden[ID]["name"] == Golden(date(1990, 3, 7), "unverified", POLICE)


# What an ask holds of it ----------------------------------------------------------------------------------------------

ASK = "care.check"
NOW = datetime(2026, 6, 1, tzinfo=UTC)
GRANTED = {"to": "care", "purpose": "aid", "until": date(2027, 12, 31), "fields": ["name", "sex"], "standing": ["name"]}
ASKED = {"citizen_id": "pass", "name.value": {"mask": {"first": 1}}, "name.standing": "pass"}


def held(
    registers: Registers, *, grant: Any = GRANTED, clearance: str = "L3", now: datetime = NOW, **asked: Any
) -> Table:
    """Return what the only ask holds; *asked* replaces entries of what it wants of the golden view."""
    declared = city()
    for document in declared.datasets.values():
        document |= {"share": "conditional", "subject": "id", "grants": []}
        for entry in document["fields"].values():
            entry["grade"] = "L2"
    declared.datasets[SCHOOL]["fields"]["name"]["grade"] = "L3"
    declared.datasets[POLICE]["grants"] = [grant] if grant else []
    declared.subscribers["care"] = {"clearance": clearance}
    wanted = {"fields": ASKED} | asked
    declared.asks[ASK] = {"purpose": "aid", "until": date(2028, 1, 1), "datasets": {"golden.citizen": wanted}}
    cross = cross_views(declared, "citizen", registers.records, NOON // 1000)
    return golden_rows(declared, ASK, "citizen", cross, now, {"care.aid": bytes(32)})


def two() -> Registers:
    """Two people known to the police, one in another division; a third known to the school alone."""
    registers = Registers().say(POLICE, name="张三", division="890301").say(SCHOOL, name="李四")
    registers.say(POLICE, name="王五", division="890401", subject=OTHER)
    return registers.say(SCHOOL, name="赵六", subject="890101200503140018")


def test_an_ask_holds_the_value_and_where_granted_its_standing() -> None:
    """Whoever the source knows has a row; whom only others know has none."""
    assert held(two()).plain() == {
        ID: {"citizen_id": ID, "name": {"value": "张*", "standing": "disputed"}},
        OTHER: {"citizen_id": OTHER, "name": {"value": "王*", "standing": "unverified"}},
    }


def test_without_the_sources_word_on_it_the_standing_is_not_shown() -> None:
    """A grant that lists no standing gives the value alone, and so does a clearance below a reporter's grade."""
    for found in (held(two(), grant={**GRANTED, "standing": []}), held(two(), clearance="L2")):
        assert found.plain()[ID] == {"citizen_id": ID, "name": {"value": "张*"}}


def test_what_is_internal_is_never_shown() -> None:
    """Source, version and time of an element, and elements without a grant, are left out whatever is asked."""
    asked = {**ASKED, "name.source": "pass", "name.version": "pass", "name.changed_at": "pass", "sex": "pass"}
    assert held(two(), fields=asked).plain()[ID] == held(two()).plain()[ID]


def test_the_sources_row_condition_empties_what_it_is_the_source_of() -> None:
    """Where the grant's condition does not hold of the source's record there is no value, no standing and no row."""
    grant = {**GRANTED, "rows": {"division": {"prefix": "8903"}}}
    assert set(held(two(), grant=grant).rows) == {ID.encode()}


@pytest.mark.parametrize(
    ("grant", "now", "reason"),
    [
        (None, NOW, "no_grant"),
        ({**GRANTED, "purpose": "tax"}, NOW, "no_grant"),
        ({**GRANTED, "state": "suspended"}, NOW, "grant_suspended"),
        (GRANTED, datetime(2027, 12, 31, 16, tzinfo=UTC), "expired"),
    ],
)
def test_without_the_sources_grant_nothing_leaves(grant: Any, now: datetime, reason: str) -> None:
    """No grant of the source for this purpose, a suspended one, one that is over: no row at all."""
    found = held(two(), grant=grant, now=now)
    assert (found.rows, found.reason) == ({}, reason)
