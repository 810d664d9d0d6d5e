"""Apache Kafka 4.3.1, one node that is broker and controller (KRaft)."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from govbus.ops.stack.errors import StackError
from govbus.ops.stack.ports import LOOPBACK
from govbus.ops.stack.process import allow_many_files, plain_environment
from govbus.ops.stack.record import StackRecord
from govbus.ops.stack.server import Server

LARGEST_MESSAGE_BYTES = 32 * 1024 * 1024
"""A catalogue revision may hold 16 MiB; a topic's own max.message.bytes is what limits its records."""

PROPERTIES: Mapping[str, str] = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL:SASL_PLAINTEXT",
    "inter.broker.listener.name": "PLAINTEXT",
    # Whoever comes without a name, over loopback, may do everything: that is the operator. The other door asks for a
    # name and a password, and gives a department only what access rules say.
    "sasl.enabled.mechanisms": "SCRAM-SHA-256",
    "listener.name.sasl.scram-sha-256.sasl.jaas.config": (
        "org.apache.kafka.common.security.scram.ScramLoginModule required;"
    ),
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "super.users": "User:ANONYMOUS",
    "allow.everyone.if.no.acl.found": "false",
    # Topics are made by `govbus apply`; a misspelt name must be an error.
    "auto.create.topics.enable": "false",
    # There is one node: nothing can be kept twice.
    "default.replication.factor": "1",
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "offsets.topic.num.partitions": "8",
    "transaction.state.log.num.partitions": "8",
    # After kill -9 a node waits for its own former session to run out; with the default it refuses clients for 11 s.
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
    # An abandoned transaction holds up read_committed readers until it is aborted; the default looks every 10 s.
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    "message.max.bytes": str(LARGEST_MESSAGE_BYTES),
    "replica.fetch.max.bytes": str(LARGEST_MESSAGE_BYTES),
    # Compaction and retention act soon after a topic's own settings allow it; the buffer comes out of a small heap.
    "log.cleaner.backoff.ms": "200",
    "log.cleaner.dedupe.buffer.size": str(32 * 1024 * 1024),
    "log.retention.check.interval.ms": "5000",
    "log.segment.delete.delay.ms": "1000",
    "num.network.threads": "2",
    "num.io.threads": "4",
}

# Kafka's own log, 4 files of 5 MiB at most: what goes wrong, and when the node comes and goes. Requests and records are
# never logged at these levels; at INFO every start would write five lines per partition.
_LOG4J = """\
status=WARN
appender.file.type=RollingFile
appender.file.name=file
appender.file.fileName={folder}/kafka.log
appender.file.filePattern={folder}/kafka.log.%i
appender.file.layout.type=PatternLayout
appender.file.layout.pattern=%d{{ISO8601}} %p %c{{1}} %m%n
appender.file.policies.type=Policies
appender.file.policies.size.type=SizeBasedTriggeringPolicy
appender.file.policies.size.size=5MB
appender.file.strategy.type=DefaultRolloverStrategy
appender.file.strategy.max=3
rootLogger.level=WARN
rootLogger.appenderRef.file.ref=file
logger.node.name=kafka.server
logger.node.level=INFO
logger.replicas.name=kafka.server.ReplicaManager
logger.replicas.level=WARN
logger.settings.name=kafka.server.KafkaConfig
logger.settings.level=WARN
"""


class KafkaServer(Server):
    """The broker. *properties* come on top of `PROPERTIES`, for tests that need a broker of another kind."""

    name = "kafka"
    title = "Apache Kafka"

    def __init__(self, record: StackRecord, java: Path, jars: Path, properties: Mapping[str, str]) -> None:
        super().__init__(record)
        self._java = java
        self._jars = jars
        self._properties = properties

    def address(self) -> str:
        """Return host:port, for `bootstrap.servers`."""
        return f"{LOOPBACK}:{self.port}"

    def sasl_address(self) -> str:
        """Return host:port of the door that asks for a name and a password (SASL_PLAINTEXT, SCRAM-SHA-256)."""
        return f"{LOOPBACK}:{self._record.port('kafka_sasl')}"

    def port_names(self) -> Sequence[str]:
        return ("kafka", "kafka_controller", "kafka_sasl")

    def prepare(self) -> None:
        (self.folder / "log4j2.properties").write_text(_LOG4J.format(folder=self.folder))
        config = self.folder / "server.properties"
        controller = f"{LOOPBACK}:{self._record.port('kafka_controller')}"
        places = {
            "listeners": f"PLAINTEXT://{self.address()},SASL://{self.sasl_address()},CONTROLLER://{controller}",
            "advertised.listeners": f"PLAINTEXT://{self.address()},SASL://{self.sasl_address()}",
            "controller.quorum.voters": f"1@{controller}",
            "log.dirs": str(self.folder / "data"),
        }
        merged = dict(PROPERTIES) | places | dict(self._properties)
        config.write_text("".join(f"{key}={value}\n" for key, value in merged.items()))
        if not (self.folder / "data" / "meta.properties").is_file():
            self._format(config)

    def command(self) -> tuple[Sequence[str], Mapping[str, str]]:
        # The process inherits our limit.
        allow_many_files()
        return [*self._jvm("-Xms256m", "-Xmx512m"), "kafka.Kafka", str(self.folder / "server.properties")], self._env()

    def answers(self) -> bool:
        from confluent_kafka import KafkaException
        from confluent_kafka.admin import AdminClient

        admin = AdminClient({"bootstrap.servers": self.address(), "log_level": 0, "reconnect.backoff.max.ms": 200})
        try:
            # A fenced broker, still waiting for its former session to end, is not in the list.
            return bool(admin.list_topics(timeout=2).brokers)
        except KafkaException:
            return False

    def _format(self, config: Path) -> None:
        tool = [*self._jvm("-Xmx128m", "-XX:TieredStopAtLevel=1"), "kafka.tools.StorageTool"]
        formatted = subprocess.run(
            [*tool, "format", "-t", self._record.secret("cluster_id"), "-c", str(config)],
            env=self._env(),
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if formatted.returncode != 0:
            raise StackError(
                f"Kafka's data folder {self.folder / 'data'} cannot be made: {formatted.stdout}{formatted.stderr}"
            )

    def _jvm(self, *options: str) -> list[str]:
        return [
            str(self._java),
            *options,
            "-XX:+UseSerialGC",
            "-XX:-UsePerfData",
            "-XX:+ExitOnOutOfMemoryError",
            f"-XX:ErrorFile={self.folder}/crash.log",
            f"-Djava.io.tmpdir={self._record.folder / 'tmp'}",
            f"-Dlog4j2.configurationFile={self.folder / 'log4j2.properties'}",
            "-Djava.awt.headless=true",
            "-cp",
            f"{self._jars}/*",
        ]

    def _env(self) -> Mapping[str, str]:
        return plain_environment(self._record.folder)
