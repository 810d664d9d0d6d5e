"""The schema registry: registering by `apply` only, looking up by everyone else."""

from __future__ import annotations

import json
import warnings
from typing import Any

import httpx

with warnings.catch_warnings(record=True):
    # A dependency of the client warns at import that httpx is deprecated, past every filter: nobody's business here.
    from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
    from confluent_kafka.schema_registry.error import SchemaRegistryError

from govbus.errors import GovbusError, SettingsError, Unavailable
from govbus.kafka.settings import Settings

SUBJECT_NOT_FOUND = 40401
VERSION_NOT_FOUND = 40402
SCHEMA_NOT_FOUND = 40403


class IncompatibleSchema(GovbusError):
    """The registry refuses a schema because readers or writers of an earlier one would break."""


class Registry:
    """A Confluent-compatible registry. Every method raises `Unavailable` where waiting may help.

    *timeout_seconds*: how long it may keep silent before it counts as away, once more for each of *retries*.
    """

    def __init__(self, settings: Settings, *, timeout_seconds: float = 10, retries: int = 1) -> None:
        self._url = settings.need_registry_url()
        self._client = SchemaRegistryClient({"url": self._url, "timeout": timeout_seconds, "max.retries": retries})

    def register(self, subject: str, schema: dict[str, Any]) -> int:
        """Return the id of *schema* under *subject*, registering it if needed; the same schema gets the same id."""
        try:
            return int(self._client.register_schema(subject, _avro(schema)))
        except SchemaRegistryError as error:
            if error.http_status_code == 409:
                raise IncompatibleSchema(f"{subject}: the registry refuses this schema change: {error}") from error
            raise self._translate(error, f"registering {subject}") from error
        except (httpx.HTTPError, OSError) as error:
            raise self._unreachable(error) from error

    def set_compatibility(self, subject: str, level: str) -> None:
        """Set *subject*'s compatibility, e.g. FULL_TRANSITIVE or NONE."""
        try:
            self._client.set_compatibility(subject, level)
        except SchemaRegistryError as error:
            raise self._translate(error, f"setting compatibility of {subject}") from error
        except (httpx.HTTPError, OSError) as error:
            raise self._unreachable(error) from error

    def schema(self, schema_id: int) -> dict[str, Any] | None:
        """Return the schema with this id, or None if the registry answers that there is none."""
        try:
            text = self._client.get_schema(schema_id).schema_str
        except SchemaRegistryError as error:
            if error.http_status_code == 404 or error.error_code in (SCHEMA_NOT_FOUND, SUBJECT_NOT_FOUND):
                return None
            raise self._translate(error, f"looking up schema {schema_id}") from error
        except (httpx.HTTPError, OSError) as error:
            raise self._unreachable(error) from error
        parsed = json.loads(text or "null")
        return parsed if isinstance(parsed, dict) else None

    def is_registered(self, subject: str, schema: dict[str, Any]) -> bool:
        """Return whether *schema* stands under *subject*."""
        try:
            self._client.lookup_schema(subject, _avro(schema))
        except SchemaRegistryError as error:
            if error.http_status_code == 404:
                return False
            raise self._translate(error, f"looking up {subject}") from error
        except (httpx.HTTPError, OSError) as error:
            raise self._unreachable(error) from error
        return True

    def versions(self, subject: str) -> list[tuple[int, dict[str, Any]]]:
        """Return (id, schema) of every version of *subject*, oldest first; empty if it does not exist."""
        try:
            numbers = sorted(self._client.get_versions(subject))
            found = [self._client.get_version(subject, number) for number in numbers]
        except SchemaRegistryError as error:
            if error.http_status_code == 404:
                return []
            raise self._translate(error, f"looking up {subject}") from error
        except (httpx.HTTPError, OSError) as error:
            raise self._unreachable(error) from error
        return [(int(each.schema_id or 0), json.loads(each.schema.schema_str or "null")) for each in found]

    def _translate(self, error: SchemaRegistryError, doing: str) -> GovbusError:
        if error.http_status_code in (401, 403):
            return SettingsError(f"{doing}: the registry at {self._url} refused the credentials or the right: {error}")
        if error.http_status_code >= 500 or error.http_status_code < 0:
            return Unavailable(f"{doing}: the registry at {self._url} answers {error}")
        return SettingsError(f"{doing}: the registry at {self._url} refuses: {error}")

    def _unreachable(self, error: Exception) -> Unavailable:
        return Unavailable(f"the registry at {self._url} cannot be reached: {error}")


def _avro(schema: dict[str, Any]) -> Schema:
    return Schema(json.dumps(schema, ensure_ascii=False), "AVRO")
