"""The files: written as the datasets' sources are declared, the same bytes for the same seed, nobody real in them."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest
from city_files import Written, csv_lines, declarations, is_citizen_id, rows
from stack_fixture import REPOSITORY

from govbus.errors import DeclarationError, SettingsError
from govbus.ops.city import City, put_into_drop, write_city

SMALL = City(600, 0, waves=2)
NUMBER = re.compile(r"(?<![0-9A-Za-z])[0-9A-Z]{18}(?![0-9A-Za-z])")


def digests(folder: Path) -> dict[str, str]:
    """Return the digest of every file in *folder* by its relative path."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path, seed: int) -> None:
    """Every file of a city, later waves included, is a function of people, seed and waves."""
    for name in ("first", "again"):
        write_city(REPOSITORY, tmp_path / name, City(SMALL.people, seed, SMALL.waves))
    assert digests(tmp_path / "first") == digests(tmp_path / "again")


def test_another_seed_gives_another_city(tmp_path: Path, seed: int) -> None:
    """Two seeds share no export of persons."""
    for each in (seed, seed + 1):
        write_city(REPOSITORY, tmp_path / str(each), City(SMALL.people, each, SMALL.waves))
    first, other = digests(tmp_path / str(seed)), digests(tmp_path / str(seed + 1))
    same = {name for name in first if first[name] == other.get(name)}
    assert same <= {"postgres/schema.sql", "postgres/load.sql"}


def test_every_declared_dataset_is_written(city: Written) -> None:
    """Each dataset of the reference city has rows, as many as the summary says."""
    assert set(city.summary["rows"]) == set(declarations())
    for dataset, count in city.summary["rows"].items():
        assert len(rows(city.path, dataset)) == count > 0


@pytest.mark.parametrize("dataset", sorted(declarations()))
def test_a_file_is_in_its_declared_encoding_and_form(city: Written, dataset: str) -> None:
    """Each export decodes under its encoding; a CSV has its declared headers, and every row their number of cells."""
    declared = declarations()[dataset]
    source = declared.source
    for wave in range(city.asked.waves + 1):
        folder = city.path / "changes" / f"{wave:02}" / "drop" if wave else city.path / "drop"
        for path in (folder / declared.department).glob(source.get("path", "none")):
            content = path.read_bytes()
            assert content.startswith(b"\xef\xbb\xbf") == (source["encoding"] == "utf-8-sig")
            if source["format"] == "csv":
                header, *lines = csv_lines(path, source)
                columns = {source["columns"].get(each, each) for each in declared.fields}
                own = {source[word] for word in ("operation", "version") if word in source}
                assert set(header) - {"\ufeff"} == columns | own
                assert all(len(line) == len(header) for line in lines)
            else:
                assert content.decode(source["encoding"])


def test_encodings_delimiters_and_dates_differ_between_departments() -> None:
    """The city shows an adapter's variety: GB18030 and UTF-8 with and without BOM, four delimiters, many dates."""
    sources = [each.source for each in declarations().values()]
    files = [source for source in sources if source["kind"] == "file"]
    assert {source["encoding"] for source in files} == {"gb18030", "utf-8", "utf-8-sig"}
    assert {source["delimiter"] for source in files if source["format"] == "csv"} == {",", ";", "|", "\t"}
    assert {source["kind"] for source in sources} == {"file", "postgres", "outbox"}
    assert {source["mode"] for source in files} == {"snapshot", "changes"}


def test_every_number_of_a_person_or_body_has_prefix_89(city: Written) -> None:
    """No file holds a valid citizen id or a USCC outside division 89: nobody real can be meant."""
    found = 0
    for path in city.path.rglob("*"):
        if not path.is_file():
            continue
        encoding = "gb18030" if "civil_affairs" in path.parts or "disabled_federation" in path.parts else "utf-8"
        encoding = "gb18030" if "market_regulation" in path.parts else encoding
        for number in NUMBER.findall(path.read_bytes().decode(encoding)):
            if is_citizen_id(number):
                assert number.startswith("89"), path.name
                found += 1
            elif re.match(r"(91|92|12|11)\d{6}[0-9A-Z]{10}", number) and not number.isdigit():
                assert number[2:4] == "89", path.name
                found += 1
    assert found > city.asked.people


def test_bank_accounts_and_phones_belong_to_nobody(city: Written) -> None:
    """Accounts fail the Luhn check; phone numbers lie in a range that no operator was given."""
    accounts = [row["bank_account"] for row in rows(city.path, "civil_affairs.minimum_living")]
    for account in accounts:
        digits = [int(each) for each in reversed(account)]
        total = sum(digits[::2]) + sum(sum(divmod(2 * each, 10)) for each in digits[1::2])
        assert total % 10
    phones = [row["phone"] for row in rows(city.path, "public_security.population") if row["phone"]]
    assert phones
    assert all(re.fullmatch(r"154\d{8}", each) for each in phones)


def test_files_arrive_whole_under_their_names(city: Written, tmp_path: Path) -> None:
    """Bringing a wave copies its files, and nothing unfinished stays beside them."""
    put = put_into_drop(city.path, 1, tmp_path)
    source = city.path / "changes" / "01" / "drop"
    assert digests(tmp_path) == digests(source)
    assert sorted(put) == sorted(tmp_path / path.relative_to(source) for path in source.rglob("*") if path.is_file())


def test_a_wave_that_was_not_written_is_refused(city: Written, tmp_path: Path) -> None:
    """Asking for a wave too many says that the city has none."""
    with pytest.raises(SettingsError, match="no wave 77"):
        put_into_drop(city.path, 77, tmp_path)


def test_a_folder_with_other_things_in_it_is_left_alone(tmp_path: Path) -> None:
    """A city is never written over somebody's files."""
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(SettingsError, match="not empty"):
        write_city(REPOSITORY, tmp_path, SMALL)
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_an_earlier_city_makes_room_for_the_next(tmp_path: Path, seed: int) -> None:
    """Writing twice into one folder leaves the second city and nothing of the first."""
    write_city(REPOSITORY, tmp_path / "one", City(600, seed, waves=1))
    write_city(REPOSITORY, tmp_path / "one", City(400, seed, waves=0))
    write_city(REPOSITORY, tmp_path / "fresh", City(400, seed, waves=0))
    assert digests(tmp_path / "one") == digests(tmp_path / "fresh")


def test_a_city_without_its_declarations_is_refused(tmp_path: Path) -> None:
    """Where the datasets are not declared every one that is missing is named, with what to do."""
    with pytest.raises(DeclarationError) as refused:
        write_city(tmp_path, tmp_path / "out", SMALL)
    assert len(refused.value.faults) == len(declarations())
    assert not (tmp_path / "out").exists()
