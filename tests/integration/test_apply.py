"""`govbus apply` on real servers: topics, subjects, keys and the revision; what it refuses, it refuses untouched."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic, ResourceType
from unit.catalogue.small_city import (
    ASK,
    CITY,
    FILES,
    PERSON,
    PERSON_SCHEMA,
    TODAY,
    WEATHER_SCHEMA,
    edited,
    write_city,
)

from govbus.catalogue.check import load
from govbus.catalogue.plan import topic_names
from govbus.codec.schemas import DELETED, record_schema
from govbus.errors import DeclarationError, GovbusError, SettingsError, Unavailable
from govbus.kafka.registry import IncompatibleSchema, Registry
from govbus.kafka.revisions import Revision, fingerprint, latest_revision, read_revisions, write_revision
from govbus.kafka.settings import Settings
from govbus.kafka.topics import Topics
from govbus.ops.apply import Applied, apply, planned
from govbus.ops.cluster import ClusterUnfit

pytestmark = pytest.mark.stack

VIEW = "school.places/police.person"
PSEUDONYM = edited(ASK, "citizen_id: pass", "citizen_id: pseudonym")
KEY = "school.places"


class TinyCity:
    """The tiny city under topics of this test's own, with what was changed since."""

    def __init__(self, settings: Settings, prefix: str, folder: Path) -> None:
        self.settings = replace(settings, city_dir=folder)
        self.topics = Topics(prefix)
        self.registry = Registry(self.settings)
        self.admin = AdminClient({"bootstrap.servers": settings.need_bootstrap_servers()})
        self.declare({})

    def declare(self, files: Mapping[str, str | None]) -> None:
        """Write the city anew with *files* in place of its own."""
        city = files.get(CITY) or FILES[CITY]
        write_city(
            self.settings.city_dir, {**files, CITY: f"{city}partitions: 3\ntopic_prefix: {self.topics.prefix}\n"}
        )

    def apply(self, **more: Any) -> Applied:
        return apply(self.settings, load(self.settings.city_dir), today=TODAY, **more)

    def revisions(self) -> list[Revision]:
        return read_revisions(self.settings, self.topics)

    def own_topics(self) -> set[str]:
        return {name for name in self.admin.list_topics(timeout=30).topics if name.startswith(self.topics.prefix)}

    def config(self, topic: str) -> dict[str, str]:
        (future,) = self.admin.describe_configs([ConfigResource(ResourceType.TOPIC, topic)]).values()
        return {name: entry.value for name, entry in future.result(30).items()}


@pytest.fixture
def city(settings: Settings, topic_prefix: str, tmp_path: Path) -> TinyCity:
    return TinyCity(settings, topic_prefix, tmp_path / "city")


def test_every_topic_is_made_with_its_policy(city: TinyCity) -> None:
    """Each room's topics have the partitions, retention and dates that their use needs."""
    city.declare(edited(PERSON, "entity: citizen", "retention: 7d\nentity: citizen"))
    applied = city.apply()

    assert city.own_topics() == topic_names(load(city.settings.city_dir)) == set(applied.topics_created)
    metadata = city.admin.list_topics(timeout=30).topics
    assert {len(metadata[name].partitions) for name in city.own_topics() - {city.topics.catalogue}} == {3}
    assert len(metadata[city.topics.catalogue].partitions) == 1
    month, week = str(30 * 86_400_000), str(7 * 86_400_000)
    expected = {
        city.topics.raw("police.person"): ("delete", week, "LogAppendTime"),
        city.topics.raw("weather.reading"): ("delete", month, "LogAppendTime"),
        city.topics.reject("police"): ("delete", month, "LogAppendTime"),
        city.topics.tick: ("delete", "86400000", "LogAppendTime"),
        city.topics.catalogue: ("delete", "-1", "LogAppendTime"),
    }
    for topic, (cleanup, retention, dated) in expected.items():
        config = city.config(topic)
        assert (config["cleanup.policy"], config["retention.ms"], config["message.timestamp.type"]) == (
            cleanup,
            retention,
            dated,
        ), topic
    assert city.config(city.topics.current("police.person"))["cleanup.policy"] == "compact"
    assert city.config(city.topics.progress)["cleanup.policy"] == "compact"
    share = city.config(city.topics.share(VIEW))
    assert sorted(share["cleanup.policy"].split(",")) == ["compact", "delete"]
    assert (share["retention.ms"], share["delete.retention.ms"]) == ("-1", month)
    assert int(city.config(city.topics.raw("police.person"))["max.message.bytes"]) >= 2 * 2**20


def test_the_revision_holds_what_a_worker_needs(city: TinyCity) -> None:
    """Catalogue, schema ids of datasets and views, the deletion's schema: all of it can be looked up."""
    city.apply()

    revision = latest_revision(city.settings, city.topics)
    assert revision is not None
    assert revision.number == 1
    assert revision.catalogue == load(city.settings.city_dir)
    ((schema_id, schema),) = revision.schema_ids["police.person"]
    assert schema == record_schema(revision.catalogue.datasets["police.person"].avro)
    assert city.registry.schema(schema_id) == schema
    assert city.registry.schema(revision.deleted_schema_id) == DELETED
    shared = city.registry.schema(revision.view_schema_ids[VIEW])
    assert shared is not None
    assert [field["name"] for field in shared["fields"]][:3] == ["citizen_id", "register_no", "name"]
    assert revision.pseudonym_keys == {}


def test_applying_twice_changes_nothing(city: TinyCity) -> None:
    """The second time nothing is made, set, registered or written."""
    first = city.apply()
    second = city.apply()

    assert first.written
    assert not second.written
    assert (second.topics_created, second.altered, second.keys_made) == ((), (), ())
    assert second.revision == first.revision
    assert [revision.number for revision in city.revisions()] == [1]
    plan, revision = planned(city.settings, load(city.settings.city_dir), TODAY)
    assert plan.is_empty
    assert revision is not None
    assert revision.number == 1


def test_a_setting_that_drifted_is_set_back(city: TinyCity) -> None:
    """A topic's setting changed by hand, or by a new declaration, is what the city says after the next apply."""
    city.apply()
    raw = city.topics.raw("police.person")
    resource = ConfigResource(
        ResourceType.TOPIC,
        raw,
        incremental_configs=[ConfigEntry("retention.ms", "1000", incremental_operation=AlterConfigOpType.SET)],
    )
    for future in city.admin.incremental_alter_configs([resource]).values():
        future.result(30)

    (altered,) = city.apply().altered

    assert (altered.topic, altered.setting, altered.before) == (raw, "retention.ms", "1000")
    assert city.config(raw)["retention.ms"] == str(30 * 86_400_000)


def test_the_registry_holds_the_rules(city: TinyCity) -> None:
    """Raw and current subjects refuse what breaks any reader; share subjects take all, so that views can narrow."""
    city.apply()
    broken = {"type": "record", "name": "reading", "fields": [{"name": "station", "type": "int"}]}

    for topic in (city.topics.raw("weather.reading"), city.topics.current("weather.reading")):
        with pytest.raises(IncompatibleSchema):
            city.registry.register(city.topics.subject(topic), record_schema(broken))
    city.registry.register(city.topics.subject(city.topics.share("school.heat/weather.reading")), broken)


def grown(name: str) -> dict[str, str]:
    """Return the person dataset with one optional field more."""
    weight, more = '{"name": "weight", "type": "double"}', '"type": ["null", "int"], "default": null'
    return edited(PERSON_SCHEMA, weight, f'{weight},\n    {{"name": "{name}", {more}}}') | edited(
        PERSON, "  weight: {title", f"  {name}: {{title: 新项, grade: L2}}\n  weight: {{title"
    )


def test_schemas_grow_newest_last(city: TinyCity) -> None:
    """Every schema ever registered stays known; the one in force stands last, also after a way back."""
    city.apply()
    city.declare(grown("height"))
    second = city.apply().revision.schema_ids["police.person"]
    city.declare({})
    third = city.apply().revision.schema_ids["police.person"]

    assert len(second) == len(third) == 2
    assert [each for each, _ in third] == [each for each, _ in second][::-1]
    assert "height" not in [field["name"] for field in third[-1][1]["fields"]]
    assert [revision.number for revision in city.revisions()] == [1, 2, 3]


def test_an_incompatible_schema_is_refused_with_its_line(city: TinyCity) -> None:
    """A changed type is a fault of the .avsc, found before the registry is asked; nothing is touched."""
    city.apply()
    city.declare({WEATHER_SCHEMA: FILES[WEATHER_SCHEMA].replace('"heat", "type": "int"', '"heat", "type": "long"'),
                  "producers/tax/department.yaml": None})  # fmt: skip

    with pytest.raises(DeclarationError) as refused:
        city.apply()

    (fault,) = refused.value.faults
    assert (fault.file, fault.line, fault.code) == (WEATHER_SCHEMA, 3, "incompatible_schema")
    assert len(city.revisions()) == 1


def test_a_schema_must_follow_every_applied_one(city: TinyCity) -> None:
    """A field that went and comes back with another type meets the schema of its first life."""
    city.declare(grown("height"))
    city.apply()
    city.declare({})
    city.apply()
    city.declare(
        {file: text.replace('["null", "int"]', '["null", "string"]') for file, text in grown("height").items()}
    )

    with pytest.raises(DeclarationError, match="height"):
        city.apply()


def test_a_narrowed_view_is_registered_anew(city: TinyCity) -> None:
    """A subscriber's fields change freely: the view gets another schema id, the topic stays."""
    first = city.apply().revision
    city.declare(edited(ASK, "      weight: pass\n", ""))
    second = city.apply()

    assert second.topics_created == ()
    assert second.revision.view_schema_ids[VIEW] != first.view_schema_ids[VIEW]


def test_a_withdrawn_grant_leaves_the_topic(city: TinyCity) -> None:
    """Without grant the view leaves the revision; its topic is left for the worker to empty, nobody else is touched."""
    first = city.apply().revision
    city.declare(edited(PERSON, "    until: 2027", "    state: ended\n    until: 2027"))
    second = city.apply()

    assert second.written
    assert VIEW not in second.revision.view_schema_ids
    assert second.revision.view_schema_ids == {k: v for k, v in first.view_schema_ids.items() if k != VIEW}
    assert city.topics.share(VIEW) in city.own_topics()


def test_a_cluster_that_cannot_carry_the_city_is_refused(city: TinyCity) -> None:
    """More replicas than brokers, and a topic with other partitions: both are said at once, and nothing is made."""
    foreign = NewTopic(city.topics.raw("police.person"), 7, 1)
    for future in city.admin.create_topics([foreign]).values():
        future.result(30)
    text = FILES[CITY].replace("replication_factor: 1", "replication_factor: 9")
    city.declare({CITY: text})

    with pytest.raises(ClusterUnfit) as refused:
        city.apply()

    assert len(refused.value.reasons) == 2
    assert "replication_factor 9" in refused.value.reasons[0]
    assert "has 7 partitions, and the city has 3" in refused.value.reasons[1]
    assert city.own_topics() == {city.topics.raw("police.person")}


def key_file(city: TinyCity, name: str = KEY) -> Path:
    return city.settings.home / "secrets" / "pseudonym" / f"{name}.key"


def test_a_pseudonym_key_is_made_once(city: TinyCity) -> None:
    """A view that needs one gets 32 bytes that only the owner can read; the revision holds its fingerprint alone."""
    city.declare(PSEUDONYM)
    applied = city.apply()

    assert applied.keys_made == (KEY,)
    assert key_file(city).stat().st_mode & 0o777 == 0o600
    assert key_file(city).parent.stat().st_mode & 0o777 == 0o700
    key = key_file(city).read_bytes()
    assert len(key) == 32
    assert applied.revision.pseudonym_keys == {KEY: fingerprint(key)}
    assert key.hex() not in applied.revision.model_dump_json()
    assert city.apply().keys_made == ()
    assert key_file(city).read_bytes() == key


def lost(file: Path) -> None:
    file.unlink()


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:16])


def opened(file: Path) -> None:
    file.chmod(0o644)


def replaced(file: Path) -> None:
    file.write_bytes(bytes(32))


@pytest.mark.parametrize(
    ("harm", "says"),
    [(lost, "restore it from the backup"), (cut, "16 bytes"), (opened, "chmod 600"), (replaced, "was replaced")],
)
def test_a_harmed_key_is_refused(city: TinyCity, harm: Callable[[Path], None], says: str) -> None:
    """A key that was applied and is gone, cut, open to others or another one is never silently made again."""
    city.declare(PSEUDONYM)
    city.apply()
    harm(key_file(city))

    for work in (city.apply, lambda: planned(city.settings, load(city.settings.city_dir), TODAY)):
        with pytest.raises(SettingsError, match=says):
            work()
    assert len(city.revisions()) == 1


def test_a_replaced_key_is_a_revision(city: TinyCity) -> None:
    """With the old key kept beside it under its fingerprint, a new key is planned and becomes a revision."""
    city.declare(PSEUDONYM)
    before = city.apply().revision.pseudonym_keys[KEY]
    key_file(city).rename(key_file(city, f"{KEY}.{before}"))
    key_file(city).touch(mode=0o600)
    key_file(city).write_bytes(b"n" * 32)

    plan, _ = planned(city.settings, load(city.settings.city_dir), TODAY)
    applied = city.apply()

    assert plan.pseudonym_keys == (KEY,)
    assert applied.written
    assert applied.revision.pseudonym_keys == {KEY: fingerprint(b"n" * 32)}


@pytest.mark.parametrize(("shift", "doc"), [(0, "another life"), (1_000_000, None)])
def test_another_registry_is_noticed(city: TinyCity, shift: int, doc: str | None) -> None:
    """Another schema under an applied id, or the applied schema under another id: nothing is written on top of that."""
    revision = city.apply().revision
    ((schema_id, schema),) = revision.schema_ids["weather.reading"]
    held = ((schema_id + shift, {**schema, "doc": doc} if doc else schema),)
    schema_ids = {**revision.schema_ids, "weather.reading": held}
    write_revision(city.settings, revision.model_copy(update={"number": 2, "schema_ids": schema_ids}))

    with pytest.raises(GovbusError, match="not the registry of this city"):
        city.apply()


def test_two_at_one_moment_are_noticed(city: TinyCity, monkeypatch: pytest.MonkeyPatch) -> None:
    """If another apply writes the same number in between, this one says so; the next one heals it."""
    city.apply()
    city.declare(edited(ASK, "until: 2027-12-31", "until: 2027-11-30"))

    def written_twice(settings: Settings, revision: Revision) -> None:
        write_revision(settings, revision.model_copy(update={"applied_at": "the other one"}))
        write_revision(settings, revision)

    with monkeypatch.context() as patch:
        patch.setattr("govbus.ops.apply.write_revision", written_twice)
        with pytest.raises(GovbusError, match="run it once more"):
            city.apply()
    city.declare({})
    assert city.apply().revision.number == 3


@pytest.mark.parametrize("server", ["bootstrap_servers", "registry_url"])
def test_a_server_that_is_away_is_named(city: TinyCity, server: str) -> None:
    """Brokers or registry that do not answer are something to wait for, and nothing was made meanwhile."""
    nowhere = {"bootstrap_servers": "127.0.0.1:1", "registry_url": "http://127.0.0.1:1/apis/ccompat/v7"}[server]
    city.settings = replace(city.settings, **{server: nowhere})

    with pytest.raises(Unavailable):
        city.apply(broker_seconds=2)

    assert city.own_topics() == set()


def govbus(city: TinyCity, *words: str) -> subprocess.CompletedProcess[str]:
    env = {
        **os.environ,
        "GOVBUS_HOME": str(city.settings.home),
        "GOVBUS_BOOTSTRAP_SERVERS": city.settings.need_bootstrap_servers(),
        "GOVBUS_REGISTRY_URL": city.settings.need_registry_url(),
    }
    command = [sys.executable, "-m", "govbus", "--city", str(city.settings.city_dir), *words]
    return subprocess.run(command, capture_output=True, text=True, env=env, timeout=120, check=False)


def test_the_commands_in_their_order(city: TinyCity) -> None:
    """check, plan, apply and plan again: each says what it found or did, and ends with the right exit code."""
    assert "no fault" in govbus(city, "check").stdout
    first = json.loads(govbus(city, "plan", "--json").stdout)
    assert first["revision"] is None
    assert first["first"] is True
    assert f"{VIEW} receives citizen_id" in govbus(city, "plan").stdout
    assert "revision 1 is in force" in govbus(city, "apply").stdout
    assert "no difference" in govbus(city, "plan").stdout
    city.declare(edited(ASK, "weight: pass", "weight: hash"))
    for command in ("check", "plan", "apply"):
        refused = govbus(city, command)
        assert refused.returncode == 2
        assert f"{ASK}:14: weight: unknown mask" in refused.stderr
        assert "1 fault: nothing was done." in refused.stderr
    city.declare({WEATHER_SCHEMA: FILES[WEATHER_SCHEMA].replace('"type": "int"', '"type": "long"')})
    refused = govbus(city, "plan")
    assert refused.returncode == 2
    assert f"{WEATHER_SCHEMA}:3:" in refused.stderr
