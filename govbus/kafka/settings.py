"""Where we are: brokers, registry, database and folders, read once into a frozen value.

Files say what is true (the catalogue); the environment says where we are::

    GOVBUS_BOOTSTRAP_SERVERS  host:port of the Kafka brokers
    GOVBUS_REGISTRY_URL       a Confluent-compatible registry, e.g. http://127.0.0.1:8081/apis/ccompat/v7
    GOVBUS_POSTGRES_URL       postgresql://user:password@host:port/database, where deliveries or sources need one
    GOVBUS_HOME               data folder (state, journals, secrets, local stack); default: .govbus in the city's folder
    GOVBUS_CACHE              what the local stack has downloaded (default: .cache in the city's folder), and compiled
                              kernels (default: under GOVBUS_HOME); cities may share one
    GOVBUS_KAFKA_*            any further librdkafka property: GOVBUS_KAFKA_SECURITY_PROTOCOL is security.protocol

What is not set is taken from the local stack (`govbus stack up`), if one was started under `GOVBUS_HOME`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from govbus.errors import SettingsError

STACK_FILE = "stack/stack.json"
"""Under the data folder: what the local stack wrote down about itself."""

_PROPERTY_PREFIX = "GOVBUS_KAFKA_"


@dataclass(frozen=True, slots=True)
class Settings:
    """Addresses and folders of this process. Required ones are asked for by the methods that name what is missing."""

    city_dir: Path
    home: Path
    bootstrap_servers: str | None = None
    registry_url: str | None = None
    postgres_url: str | None = None
    kafka_properties: Mapping[str, str] = field(default_factory=dict)
    cache_dir: Path | None = None

    @classmethod
    def load(cls, city_dir: Path, env: Mapping[str, str] = os.environ) -> Settings:
        """Return the settings for the city in *city_dir*: *env* first, then the local stack's own note."""
        home = Path(env.get("GOVBUS_HOME") or city_dir / ".govbus").absolute()
        stack_file = home / STACK_FILE
        stack: dict[str, str] = json.loads(stack_file.read_text()) if stack_file.is_file() else {}
        return cls(
            city_dir=city_dir.absolute(),
            home=home,
            bootstrap_servers=env.get("GOVBUS_BOOTSTRAP_SERVERS") or stack.get("bootstrap_servers"),
            registry_url=env.get("GOVBUS_REGISTRY_URL") or stack.get("registry_url"),
            postgres_url=env.get("GOVBUS_POSTGRES_URL") or stack.get("postgres_url"),
            kafka_properties={
                name.removeprefix(_PROPERTY_PREFIX).lower().replace("_", "."): value
                for name, value in env.items()
                if name.startswith(_PROPERTY_PREFIX)
            },
            cache_dir=Path(env["GOVBUS_CACHE"]).absolute() if env.get("GOVBUS_CACHE") else None,
        )

    @property
    def cache(self) -> Path:
        """The folder of what the local stack has downloaded; cities may share one."""
        return self.cache_dir or self.city_dir / ".cache"

    @property
    def kernels(self) -> Path:
        """The folder of compiled kernels. Without a cache they stand with the data: the city may be read-only."""
        return (self.cache_dir or self.home) / "kernels"

    @property
    def secrets(self) -> Path:
        """The folder of pseudonym keys and tokens; back it up, nothing else can make them again."""
        return self.home / "secrets"

    def need_bootstrap_servers(self) -> str:
        return _need(self.bootstrap_servers, "GOVBUS_BOOTSTRAP_SERVERS", "host:port of your Kafka brokers")

    def need_registry_url(self) -> str:
        return _need(self.registry_url, "GOVBUS_REGISTRY_URL", "the URL of your schema registry")

    def need_postgres_url(self) -> str:
        return _need(self.postgres_url, "GOVBUS_POSTGRES_URL", "postgresql://user:password@host:port/database")


def _need(value: str | None, variable: str, meaning: str) -> str:
    if not value:
        raise SettingsError(f"{variable} is not set and no local stack runs: set it to {meaning}, or `govbus stack up`")
    return value
