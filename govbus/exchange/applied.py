"""The applied revisions a worker knows: the present one, and superseded ones whose views must still be evaluated."""

from __future__ import annotations

from govbus.errors import SettingsError
from govbus.exchange.revision import CompiledRevision
from govbus.kafka import revisions
from govbus.kafka.pseudonym_keys import read_key
from govbus.kafka.settings import Settings
from govbus.kafka.topics import Topics


class AppliedRevisions:
    """Every revision on ``bus.catalogue``, each compiled when it is first asked for.

    Raises `Unavailable` where the brokers do not answer, `SettingsError` where nothing was ever applied.
    """

    def __init__(self, settings: Settings, topics: Topics) -> None:
        self._settings = settings
        self._catalogue = topics.catalogue
        found = revisions.read_revisions(settings, topics)
        if not found:
            raise SettingsError(f"nothing is applied: {topics.catalogue} is empty; run `govbus apply` first")
        self._revisions = {revision.number: revision for revision in found}
        self._compiled: dict[int, CompiledRevision] = {}
        self.present = self.compiled(max(self._revisions))

    def compiled(self, number: int) -> CompiledRevision:
        """Return revision *number* ready to run. Raises `SettingsError` where it is not on the topic any more."""
        if number not in self._compiled:
            if number not in self._revisions:
                raise SettingsError(
                    f"catalogue revision {number} is not on {self._catalogue}: views under it cannot be withdrawn; "
                    "restore the topic from its backup"
                )
            self._compiled[number] = CompiledRevision(
                self._revisions[number], lambda name, mark: read_key(self._settings, name, mark)
            )
        return self._compiled[number]

    def past_datasets(self) -> set[str]:
        """Return the datasets of superseded revisions that the present one does not have."""
        every = {dataset for revision in self._revisions.values() for dataset in revision.catalogue.datasets}
        return every - set(self.present.datasets)
