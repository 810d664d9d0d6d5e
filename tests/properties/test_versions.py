"""The version rule: what is held at the end depends on what was sent, never on order, repeats or crashes."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from oracle import policies
from oracle.views import Event, Latest

from govbus.rules.version import Verdict, compare

Held = dict[str, Event]


def take(held: Held, event: Event) -> Verdict:
    """One step of a bus that holds the latest record of every key."""
    now = held.get(event.key)
    verdict = compare(
        None if now is None else (now.epoch, now.version),
        (event.epoch, event.version),
        same=now is not None and now.record == event.record,
    )
    if verdict is Verdict.ACCEPTED:
        held[event.key] = event
    return verdict


def drawn(rng: Random) -> list[Event]:
    keys = [f"key{number}" for number in range(rng.randint(1, 4))]
    events = policies.history(rng, "d.s", keys, lambda _: {"value": rng.randint(0, 3)}, changes=rng.randint(1, 30))
    turn = rng.randint(0, len(events))
    raised = [Event(each.dataset, each.key, each.version, each.record, epoch=1) for each in events[turn:]]
    return [*events[:turn], *raised]


def test_the_end_does_not_depend_on_the_order(seed: int, cases: Callable[[int], int]) -> None:
    """Any order of the same events, with any repeats, ends with the same records held."""
    for number in range(cases(1_000)):
        rng = Random(f"{seed}/order/{number}")
        events = drawn(rng)
        ends = []
        for _ in range(3):
            held: Held = {}
            for event in policies.disordered(rng, events):
                take(held, event)
            ends.append(held)
        assert ends[0] == ends[1] == ends[2]


def test_what_is_held_is_the_newest(seed: int, cases: Callable[[int], int]) -> None:
    """The record held is the one of the highest (epoch, version), deletions included."""
    for number in range(cases(1_000)):
        rng = Random(f"{seed}/newest/{number}")
        events = drawn(rng)
        held: Held = {}
        for event in policies.disordered(rng, events):
            take(held, event)
        for key, event in held.items():
            newest = max((each for each in events if each.key == key), key=lambda each: (each.epoch, each.version))
            assert event == newest


def test_every_verdict_is_the_oracles(seed: int, cases: Callable[[int], int]) -> None:
    """Accepted, duplicate, stale and conflict are told apart as the oracle does, for conflicting events too."""
    seen: set[str] = set()
    for number in range(cases(1_000)):
        rng = Random(f"{seed}/verdict/{number}")
        events = drawn(rng)
        events += [
            Event(each.dataset, each.key, each.version, {"value": 99}, each.epoch)
            for each in rng.sample(events, min(2, len(events)))
        ]
        held: Held = {}
        oracle = Latest()
        for event in policies.disordered(rng, events):
            verdict = take(held, event)
            assert verdict == oracle.add(event)
            seen.add(verdict)
        assert held == oracle.held
    assert seen == {"accepted", "duplicate", "stale", "conflict"}
