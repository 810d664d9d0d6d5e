"""The exchange worker: one process, one loop, one hop from raw to every output.

    poll a batch -> slice, validate -> version rule -> views before/after -> produce differences
    -> accepted records to current, progress, offsets into the same Kafka transaction -> commit -> write state

The consumer group subscribes to one topic, ``bus.tick``; whoever is assigned its partition p takes p of every input.
Range assignment over many topics breaks where members' lists differ (KAFKA-12759), and a new dataset changes the list
without a rebalance. Ticks carry the brokers' clock: no decision here reads another one.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Sequence

import structlog
from confluent_kafka import OFFSET_END, Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from govbus import metrics
from govbus.errors import GovbusError, Rejected, Unavailable
from govbus.exchange import inputs
from govbus.exchange.aborts import AbortMemory, Place
from govbus.exchange.applied import AppliedRevisions
from govbus.exchange.bulk.loading import load_when_worth_it
from govbus.exchange.counting import Counting
from govbus.exchange.difference import Arrival, Incoming, Output, PartitionExchange
from govbus.exchange.late_schemas import LateSchemas
from govbus.exchange.opening import Opening
from govbus.exchange.partition import AssignedPartition
from govbus.exchange.restore import Restore
from govbus.exchange.revision import CompiledRevision
from govbus.exchange.stalls import Stalls
from govbus.exchange.state import state_fault
from govbus.exchange.transaction import Transactions
from govbus.exchange.waiting import Stopped, Waiting
from govbus.health import Health
from govbus.kafka import clients
from govbus.kafka.clients import ConnectionFaults
from govbus.kafka.settings import Settings
from govbus.kafka.topics import Topics
from govbus.rules.reject import RejectReason

log = structlog.get_logger()

BATCH_RECORDS = 10_000
SLICE_RECORDS = 1_000
"""How many records are taken in before what they give is put on its way."""
TICK_SECONDS = 1.0
FIRST_TICK_SECONDS = 0.1
LOOK_SECONDS = 10.0
ENDS_SECONDS = 2.0
"""How long the loop is held up by asking for what it can do without."""
SESSION_TIMEOUT_MS = 15_000

_POSITION_LOST = frozenset({KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE})

Batches = dict[tuple[str, int], list[Arrival]]
"""Records in order of arrival, per raw topic and partition."""


class Worker:
    """One worker of the exchange. `run` returns when asked to stop, and raises what its supervisor must know."""

    def __init__(
        self, settings: Settings, topics: Topics, worker_id: str, health: Health, batch_records: int = BATCH_RECORDS
    ) -> None:
        self.settings = settings
        self.topics = topics
        self.worker_id = worker_id
        self.health = health
        self.partitions: dict[int, AssignedPartition] = {}
        self._waiting = Waiting(health)
        self._offsets: dict[tuple[str, int], int] = {}
        self._folder = settings.home / "state" / worker_id
        self._aborts = AbortMemory(self._folder, batch_records)
        self._last_tick = 0.0
        self._current_ends: dict[tuple[str, int], int] = {}
        self._looked_at = time.monotonic()

    def stop(self) -> None:
        """Ask the loop to end after the batch in hand."""
        self._waiting.stop()

    def run(self, *, until_caught_up: bool = False) -> None:
        """Exchange until `stop`; with *until_caught_up*, until what was published before is exchanged.

        Raises `SettingsError` where someone must change something, `Fenced`, `Unavailable` or `StateUnavailable` where
        the process must end and be started again under the same id.
        """
        try:
            self._run(until_caught_up)
        except Stopped:
            log.info("asked to stop while waiting: nothing of what waited is kept")
        except Exception as error:
            fault = state_fault(error, self._folder)
            if fault is not None:
                raise fault from error
            raise

    def _run(self, until_caught_up: bool) -> None:
        # A batch makes tens of thousands of tuples that hold no cycles: looking through them for some costs a tenth.
        gc.set_threshold(100_000, 20, 50)
        load_when_worth_it(self.settings.kernels)
        self._applied = self._waiting.until_done(
            metrics.Waiting.BROKER, lambda: AppliedRevisions(self.settings, self.topics)
        )
        self._counting = Counting(self.revision)
        transactional_id = f"{self.topics.exchange_group}.{self.worker_id}"
        self._transactions = Transactions(self.settings, transactional_id, self.revision.max_record_bytes)
        self._waiting.until_done(metrics.Waiting.BROKER, self._transactions.start)
        self._late_schemas = LateSchemas(
            self.settings, self.topics, self._waiting, in_transaction=lambda: self._transactions.is_open
        )
        self._admin = clients.admin(self.settings)
        self._stalls = Stalls(self.settings, self._admin, self.topics.exchange_group)
        self._opening = Opening(self._admin, self.topics, self._applied, self._folder)
        self._faults = ConnectionFaults()
        self._consumer = self._subscribed()
        self._ticker: Producer = clients.producer(self.settings, linger_ms=0, enable_idempotence=False)
        self._reader: Consumer | None = None
        self._restoring: Restore | None = None
        goal = self._ends() if until_caught_up else None
        try:
            while not self._waiting.stopping and not (goal is not None and self._caught_up(goal)):
                self.health.beat()
                self._tick()
                self._poll()
                self._bring_partitions_up()
                self._show_how_it_stands()
                self._look_around()
                self._counting.state(self.partitions, self._consumer, self._offsets)
        finally:
            self._close()

    def _show_how_it_stands(self) -> None:
        if self.partitions:
            self._waiting.listen()
        else:
            self._waiting.heard()
        live = bool(self.partitions) and all(each.live for each in self.partitions.values())
        self.health.set_ready(live and not self._waiting.brokers_silent)

    @property
    def revision(self) -> CompiledRevision:
        return self._applied.present

    @staticmethod
    def consumer_properties() -> dict[str, str | int]:
        """How the worker reads: small waits, deep queues."""
        return {
            "fetch_min_bytes": 1,
            "fetch_wait_max_ms": 20,
            "fetch_queue_backoff_ms": 5,
            "queued_max_messages_kbytes": 262_144,
            "queued_min_messages": 200_000,
        }

    def _subscribed(self) -> Consumer:
        consumer = clients.consumer(
            self.settings,
            self.topics.exchange_group,
            self._faults,
            group_instance_id=self.worker_id,
            session_timeout_ms=SESSION_TIMEOUT_MS,
            # The watchdog sees a loop that is stuck; one that waits for the registry keeps its partitions.
            max_poll_interval_ms=86_400_000,
            partition_assignment_strategy="range",
            **self.consumer_properties(),
        )
        consumer.subscribe([self.topics.tick], on_assign=self._on_assign, on_revoke=self._on_revoke)
        return consumer

    # --- partitions come and go -------------------------------------------------------------------------------------

    def _on_assign(self, consumer: Consumer, assigned: list[TopicPartition]) -> None:
        numbers = sorted(each.partition for each in assigned)
        log.info("partitions assigned", partitions=numbers)
        positions, offsets, committed = self._opening.positions(consumer, numbers)
        self._offsets.update(offsets)
        clients.connect(consumer, "asking who leads the inputs", self._faults)
        consumer.assign([*positions, *(TopicPartition(self.topics.tick, number, OFFSET_END) for number in numbers)])
        if positions:
            consumer.pause([TopicPartition(*each) for each in offsets])
        for number in numbers:
            self.partitions[number] = self._opening.partition(number, committed, self._late_schemas.ask)
        self._last_tick = 0.0

    def _on_revoke(self, _consumer: Consumer, revoked: list[TopicPartition]) -> None:
        log.info("partitions revoked", partitions=sorted(each.partition for each in revoked))
        for each in revoked:
            partition = self.partitions.pop(each.partition, None)
            if partition is not None:
                if partition.restore is not None:
                    self._stop_reading()
                partition.state.close()
        self._offsets = {each: offset for each, offset in self._offsets.items() if each[1] in self.partitions}

    # --- restore and change of views --------------------------------------------------------------------------------

    def _bring_partitions_up(self) -> None:
        """Move one step on: restore slices first, then views that must change; live partitions go on meanwhile."""
        restoring = [each for each in self.partitions.values() if each.restore is not None]
        metrics.EXCHANGE_RESTORING_PARTITIONS.set(len(restoring))
        if restoring:
            self._restore_step(restoring[0])
            return
        self._stop_reading()
        for partition in self.partitions.values():
            if partition.has_work:
                self._change_views(partition)
                self._consumer.resume([TopicPartition(topic, partition.number) for topic in partition.datasets])
                return

    def _restore_step(self, partition: AssignedPartition) -> None:
        restore = partition.restore
        assert restore is not None
        if self._reader is None:
            self._reader = clients.consumer(
                self.settings,
                f"{self.topics.exchange_group}.restore.{self.worker_id}",
                enable_partition_eof=True,
                fetch_wait_max_ms=20,
            )
            clients.connect(self._reader, "asking who leads what is restored")
        if self._restoring is not restore:
            restore.begin(self._reader)
            self._restoring = restore
        self._stalls.restoring((partition.number, restore.remaining))
        if restore.step(self._reader, timeout_seconds=0.1):
            partition.restored_by(restore)
            log.info("partition restored", partition=partition.number)

    def _stop_reading(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = self._restoring = None

    def _change_views(self, partition: AssignedPartition) -> None:
        """Bring every view of *partition* to its wanted version, slice by slice; small slices share a transaction."""
        gathered: list[Output] = []

        def flush() -> None:
            self.health.beat()
            if gathered:
                self._commit_changes(partition, gathered)
                gathered.clear()

        def end_of(topic: str, number: int) -> int:
            flush()
            return inputs.ends(self._admin, [(topic, number)])[topic, number]

        for change in partition.changes(self.revision, self._applied.compiled, end_of):
            if change.deletions:
                flush()
                inputs.delete_records(self._admin, change.deletions)
            gathered += [*change.outputs, change.progress.record(self.topics.progress, partition.number, change.view)]
            partition.progress[change.view] = change.progress
            self._counting.changed(change)
            if len(gathered) >= SLICE_RECORDS:
                flush()
        flush()
        partition.open_checks(self.revision)
        partition.activate(self.revision)

    def _keep_time(self, partition: AssignedPartition) -> None:
        """Do what the clock alone makes necessary: withdraw views that are over, judge entities that are due."""
        if partition.expired():
            self._change_views(partition)
        for outputs in partition.judged_by_time():
            self.health.beat()
            self._commit_changes(partition, outputs)
            self._counting.judged(partition)

    def _commit_changes(self, partition: AssignedPartition, outputs: Sequence[Output]) -> None:
        existing = inputs.existing_topics(self._admin)
        # Offsets ride along though none moves: a worker that has lost the partition is fenced by them.
        position = [
            TopicPartition(self.topics.tick, partition.number, 0),
            *(
                TopicPartition(topic, partition.number, offset)
                for topic, offset in partition.state.checkpoint.offsets.items()
            ),
        ]
        with self._transactions.open():
            self._transactions.produce(output for output in outputs if output[0] in existing)
            self._transactions.commit(self._consumer, position)

    # --- the loop ---------------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        """Put the clock on the ticks of this worker's partitions: an empty record, dated by the broker."""
        self._ticker.poll(0)
        now = time.monotonic()
        # The first tick may be on its topic before this consumer is: until a partition knows the time, more follow.
        knows_the_time = all(each.clock_ms for each in self.partitions.values())
        pause_seconds = TICK_SECONDS if knows_the_time else FIRST_TICK_SECONDS
        if now - self._last_tick < pause_seconds or not self.partitions:
            return
        self._last_tick = now
        try:
            for number in self.partitions:
                self._ticker.produce(self.topics.tick, b"", partition=number)
        except BufferError:
            log.warning("ticks are not taken by the brokers")

    def _poll(self) -> None:
        first = self._consumer.poll(0.0 if any(each.has_work for each in self.partitions.values()) else 0.05)
        self._stalls.idle = first is None
        if first is None:
            return
        if first.error() is None:
            self._waiting.heard()
        # What is there now, and no more: a batch never waits for company.
        more = self._aborts.batch_records - 1
        self._exchange([first, *self._consumer.consume(more, 0.0)] if more else [first])

    def _exchange(self, messages: Sequence[Message]) -> None:
        """Exchange one batch: accept, commit in one transaction, write the state."""
        began = time.perf_counter()
        batches = self._sorted_by_input(messages)
        if not batches:
            return
        partitions = [self.partitions[number] for number in {number for _, number in batches}]
        place = _place(next(iter(batches.values()))[0][4])
        moved = [TopicPartition(*read, (batch[-1][4].offset() or 0) + 1) for read, batch in batches.items()]
        try:
            while not self._committed(batches, moved, place):
                pass
        except Stopped:
            raise
        except Exception as error:
            # Only what the batch's records are refused for, or break, is their fault: no other error names one of them.
            failure = state_fault(error, self._folder) or error
            self._aborts.failed(place, own=isinstance(failure, Rejected) or not isinstance(failure, GovbusError))
            raise
        self._aborts.succeeded()
        for offset in moved:
            self._offsets[offset.topic, offset.partition] = offset.offset
            self.partitions[offset.partition].state.checkpoint.offsets[offset.topic] = offset.offset
        for read, batch in batches.items():
            self._counting.lag.reached(read, batch[-1][3] / 1000)
        self._note_current_ends(moved)
        for partition in partitions:
            partition.state.write(partition.exchange.pending)
            partition.exchange.keep()
        self._counting.batch(partitions, len(messages), time.perf_counter() - began)

    def _committed(self, batches: Batches, moved: list[TopicPartition], place: Place) -> bool:
        """Exchange the batch in one transaction; False where the registry must be waited for, and nothing is kept.

        Outputs are produced slice by slice, so that the brokers write one while the next is made.
        """
        with self._transactions.open():
            try:
                for (_, number), arrivals in batches.items():
                    self._exchange_slices(self.partitions[number].exchange, arrivals, place)
            except Unavailable as error:
                self._transactions.abort()
                for _, number in batches:
                    self.partitions[number].exchange.clear()
                    self._counting.drop(self.partitions[number])
                self._waiting.pause(metrics.Waiting.REGISTRY, error)
                return False
            for number in {number for _, number in batches}:
                self._transactions.produce(self.partitions[number].clock_outputs())
            self.health.wait_for(None)
            self._transactions.commit(self._consumer, moved)
        return True

    def _exchange_slices(self, exchange: PartitionExchange, arrivals: list[Arrival], place: Place) -> None:
        if self._aborts.is_at_fault(place):
            exchange.refuse(arrivals[0], RejectReason.UNPROCESSABLE)
            arrivals = []
        for begin in range(0, len(arrivals), SLICE_RECORDS):
            exchange.accept_dataset(arrivals[begin : begin + SLICE_RECORDS])
            self._transactions.produce(exchange.outputs)
            exchange.outputs = []
        self._transactions.produce(exchange.outputs)

    def _sorted_by_input(self, messages: Sequence[Message]) -> Batches:
        """Return the records of live partitions per raw topic and partition; whatever came tells the time."""
        batches: Batches = {}
        partitions, tick = self.partitions, self.topics.tick
        for message in messages:
            if message.error() is not None:
                self._consumer_fault(message)
                continue
            topic, number = message.topic(), message.partition()
            assert topic is not None
            assert number is not None
            partition = partitions.get(number)
            if partition is None:
                continue
            arrived_ms = message.timestamp()[1]
            if arrived_ms > partition.clock_ms:
                partition.clock_ms = arrived_ms
            if topic == tick:
                partition.ticks += 1
                if partition.live:
                    self._keep_time(partition)
                continue
            if not partition.live:
                continue
            arrival = (partition.datasets[topic], message.key(), message.value(), arrived_ms, message)
            batch = batches.get((topic, number))
            if batch is None:
                batches[topic, number] = [arrival]
            else:
                batch.append(arrival)
        for _, number in batches:
            # A view whose term ended before these records arrived is withdrawn before they are looked at.
            self._keep_time(partitions[number])
            partitions[number].exchange.clock_ms = partitions[number].now_ms
        return batches

    def _note_current_ends(self, moved: Sequence[TopicPartition]) -> None:
        """Keep in the states up to which end of each current topic they hold it.

        Ends are asked for between two transactions, when nothing of ours is open, and believed only after the next one
        is committed: that proves that nobody else had the partition in between.
        """
        committed = {each.partition for each in moved}
        for (topic, number), end in self._current_ends.items():
            if number in committed and number in self.partitions:
                currents = self.partitions[number].state.checkpoint.currents
                currents[topic] = (currents[topic][0], end)
        self._current_ends = {each: end for each, end in self._current_ends.items() if each[1] not in committed}

    def _look_around(self) -> None:
        """Ask, now and then, where the logs end: whether all inputs are read, and what the states hold."""
        now = time.monotonic()
        if now - self._looked_at < LOOK_SECONDS:
            return
        self._looked_at = now
        live = [each for each in self.partitions.values() if each.live]
        numbers = {each.number for each in live}
        self._stalls.look(
            {place: offset for place, offset in self._offsets.items() if place[1] in numbers},
            {(self.topics.tick, each.number): each.ticks for each in live},
            silent=self._waiting.brokers_silent,
        )
        currents = [(topic, number) for topic in self.revision.current_topics for number in numbers]
        try:
            self._current_ends = inputs.ends(self._admin, currents, ENDS_SECONDS)
        except Unavailable as error:
            # They only shorten the next restore: nothing waits for them.
            log.warning("the ends of current topics are not known", reason=str(error))

    def _consumer_fault(self, message: Message) -> None:
        error = message.error()
        assert error is not None
        if error.code() in _POSITION_LOST:
            # Reading would stop here for good. The next start counts the gap and reads on behind it.
            raise Unavailable(f"the position in {message.topic()} partition {message.partition()} has left the log")
        failure = clients.translate(error, "reading raw records", self._faults)
        if isinstance(failure, Unavailable) and not error.fatal():
            log.warning("the consumer reports a passing fault", reason=str(failure))
            return
        raise failure

    # --- ends -------------------------------------------------------------------------------------------------------

    def _ends(self) -> dict[tuple[str, int], int]:
        every = [(topic, number) for topic in self.revision.inputs() for number in range(self.revision.partitions)]
        return inputs.ends(self._admin, every)

    def _caught_up(self, goal: dict[tuple[str, int], int]) -> bool:
        if not self.partitions or not all(each.live for each in self.partitions.values()):
            return False
        return all(self._offsets.get(each, 0) >= end for each, end in goal.items() if each[1] in self.partitions)

    def _close(self) -> None:
        self._stop_reading()
        try:
            self._consumer.close()
        except (KafkaException, GovbusError) as error:
            log.warning("the consumer could not be closed", reason=str(error))
        for partition in self.partitions.values():
            partition.state.close()
        self.partitions.clear()


def _place(message: Incoming) -> Place:
    assert isinstance(message, Message)
    return message.topic() or "", message.partition() or 0, message.offset() or 0
