"""Faults of connections are told, and do not fill the log while the brokers are away."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError
from structlog.testing import capture_logs

from govbus.kafka import clients
from govbus.kafka.clients import ConnectionFaults


def test_each_kind_of_fault_is_logged_once_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two kinds that take turns, as they do while brokers are down, are two lines, and two more a minute later."""
    now = [1000.0]
    monkeypatch.setattr(clients.time, "monotonic", lambda: now[0])
    faults = ConnectionFaults()
    with capture_logs() as lines:
        for _ in range(50):
            for code in (KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN):
                faults(KafkaError(code))
        assert [line["error"] for line in lines] == ["_TRANSPORT", "_ALL_BROKERS_DOWN"]
        now[0] += 60
        faults(KafkaError(KafkaError._TRANSPORT))
        assert len(lines) == 3
    assert faults.last is not None
    assert faults.last.code() == KafkaError._TRANSPORT
