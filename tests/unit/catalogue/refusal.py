"""One refusal as a sample: a change to the tiny city, and the fault it gets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from unit.catalogue.small_city import FILES, edited

from govbus.catalogue.faults import FaultCode


@dataclass(frozen=True)
class Refusal:
    """A change (`files`) and its one fault: code, file, the text on its line (empty: line 1), words of its message."""

    name: str
    code: FaultCode
    files: Mapping[str, str | bytes | None]
    file: str
    at: str
    says: str

    def is_on(self, line: int) -> bool:
        """Return whether *line* (from 1) of the changed file is where the fault belongs."""
        content = self.files.get(self.file, FILES.get(self.file))
        text = content.decode("utf-8", "replace") if isinstance(content, bytes) else content or ""
        lines = text.splitlines() or [""]
        return line == 1 if not self.at else line <= len(lines) and self.at in lines[line - 1]


def change(name: str, code: FaultCode, file: str, old: str, new: str, at: str, says: str) -> Refusal:
    """Return a refusal that one replaced text brings about, in the file where its fault stands."""
    return Refusal(name, code, edited(file, old, new), file, at, says)
