"""A catalogue revision, compiled: every dataset, every share view and every golden view ready to run."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from govbus.catalogue.golden import golden_datasets
from govbus.catalogue.views import share_views
from govbus.codec.framing import header
from govbus.exchange.compiled import CompiledDataset, CompiledView
from govbus.exchange.fingerprints import view_fingerprint
from govbus.exchange.golden import CompiledGolden
from govbus.kafka.revisions import Revision
from govbus.rules.mask import Pseudonym
from govbus.rules.share import ShareView, Withheld

PseudonymKeys = Callable[[str, str], bytes]
"""From ``SUBSCRIBER.PURPOSE`` and the fingerprint the revision states to the secret key."""


class CompiledRevision:
    """A revision with every dataset and view ready."""

    def __init__(self, revision: Revision, pseudonym_keys: PseudonymKeys) -> None:
        city = revision.catalogue.city
        self.number = revision.number
        self.partitions = city.partitions
        self.max_record_bytes = city.max_record_bytes
        self.deleted_frame = header(revision.deleted_schema_id)
        self.topics = revision.topics
        self.withheld: list[Withheld] = []
        self.max_age_seconds = {each.id: each.update.max_age_seconds for each in revision.catalogue.datasets.values()}
        self.views: dict[str, CompiledView] = {}
        self.datasets = {each.id: CompiledDataset(each, revision) for each in revision.catalogue.datasets.values()}
        self.current_topics = frozenset(each.current_topic for each in self.datasets.values())
        self.by_raw_topic = {each.raw_topic: each for each in self.datasets.values()}
        self.goldens = {
            name: CompiledGolden(dataset, revision, self.datasets)
            for name, dataset in golden_datasets(revision.catalogue).items()
            if name in revision.golden_schema_ids
        }
        """The golden view of every entity, under ``golden.ENTITY``."""
        for view in share_views(revision.catalogue):
            if isinstance(view, Withheld):
                self.withheld.append(view)
                continue
            of = self.goldens.get(view.dataset) or self.datasets[view.dataset]
            compiled = CompiledView(
                view,
                topic=self.topics.share(view.id),
                schema_id=revision.view_schema_ids[view.id],
                writers=of.writers,
                newest=of.newest,
                pseudonym_key=_key_for(view, revision, pseudonym_keys),
                partitions=self.partitions,
                fingerprint=view_fingerprint(view, revision),
            )
            self.views[view.id] = compiled
            of.add_view(compiled)
        for golden in self.goldens.values():
            golden.watch()

    def inputs(self) -> Iterator[str]:
        """Yield every raw topic, sorted."""
        yield from sorted(self.by_raw_topic)


def _key_for(view: ShareView, revision: Revision, pseudonym_keys: PseudonymKeys) -> bytes | None:
    if view.key_in_clear and not any(isinstance(each, Pseudonym) for _, each in view.fields):
        return None
    name = f"{view.subscriber}.{view.purpose}"
    return pseudonym_keys(name, revision.pseudonym_keys[name])
