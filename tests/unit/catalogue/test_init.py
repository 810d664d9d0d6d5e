"""`govbus init` starts a city that stands, and never writes over one."""

from __future__ import annotations

from pathlib import Path

import pytest
from unit.catalogue.small_city import TODAY, write_city

from govbus.catalogue.check import check, load
from govbus.catalogue.plan import topic_names
from govbus.ops.init import FILES, NotEmpty, init
from govbus.ops.topic_policies import topic_policies


@pytest.mark.parametrize("name", ["linhai", "Lin-Hai 2026", "云海", "9th", "x" * 80])
def test_a_new_city_passes_its_check(tmp_path: Path, name: str) -> None:
    """Whatever its folder is called, the new city has no fault and says what belongs where."""
    files = init(tmp_path / name, "临海市", "890000")

    checked = check(tmp_path / name, TODAY)
    assert checked.faults == ()
    assert checked.catalogue is not None
    assert checked.catalogue.city.title == "临海市"
    assert set(files) == set(FILES)
    assert "样例" in (tmp_path / name / "schemas" / "README.md").read_text(encoding="utf-8")


def test_a_city_in_the_way_is_left_alone(tmp_path: Path) -> None:
    """Where any of its files exists, nothing is written at all."""
    (tmp_path / "city.yaml").write_text("mine")

    with pytest.raises(NotEmpty, match="nothing was written"):
        init(tmp_path, "临海市", "890000")

    assert [path.name for path in tmp_path.iterdir()] == ["city.yaml"]


def test_plan_and_apply_speak_of_the_same_topics(tmp_path: Path) -> None:
    """The topics that a plan announces are those that have a policy."""
    catalogue = load(write_city(tmp_path))

    assert topic_names(catalogue) == set(topic_policies(catalogue))
