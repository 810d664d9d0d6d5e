"""`govbus deliver` as a process of its own, which a test may stop, continue and kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from integration.share_bus import ASK, SUBSCRIBER, ShareBus


class SinkProcess:
    """One delivery of the bus's ask. Ended with the context, if it has not ended by then."""

    def __init__(self, bus: ShareBus, folder: Path, *options: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        city = folder / "city.yaml"
        city.write_text(f"city: yunhai\ntitle: 云海市\ndivision: '890000'\ntopic_prefix: {bus.topics.prefix}\n")
        settings = bus.settings
        self.output = folder / f"output-{len(list(folder.iterdir()))}.log"
        env = {
            **os.environ,
            "GOVBUS_HOME": str(settings.home),
            "GOVBUS_BOOTSTRAP_SERVERS": settings.need_bootstrap_servers(),
            "GOVBUS_REGISTRY_URL": settings.need_registry_url(),
            "GOVBUS_POSTGRES_URL": settings.need_postgres_url(),
        }
        command = [sys.executable, "-m", "govbus", "--city", str(folder), "deliver", SUBSCRIBER, ASK, *options]
        with self.output.open("wb") as output:
            self._process = subprocess.Popen(command, env=env, stdout=output, stderr=subprocess.STDOUT)

    @property
    def said(self) -> str:
        """What it printed and logged."""
        return self.output.read_text()

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def wait(self, seconds: float = 60) -> int:
        """Return its exit code once it has ended by itself."""
        return self._process.wait(seconds)

    def kill(self) -> None:
        """End it as a power cut would. Fails if it had ended before."""
        assert self.running, f"it ended by itself:\n{self.said}"
        self._process.kill()
        self._process.wait(30)

    def __enter__(self) -> SinkProcess:
        return self

    def __exit__(self, *_: object) -> None:
        if self.running:
            self._process.kill()
            self._process.wait(30)
