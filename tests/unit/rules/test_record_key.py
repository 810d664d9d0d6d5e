"""Record keys, subjects and partitions."""

from __future__ import annotations

from binascii import crc32

import pytest

from govbus.rules.record_key import partition_of, record_key, subject_of


@pytest.mark.parametrize(
    ("texts", "key"),
    [
        (["890301199003071238"], b"890301199003071238"),
        (["890301199003071238", "2026-03"], b"890301199003071238\x1f2026-03"),
        (["张伟", "1"], "张伟\x1f1".encode()),
    ],
)
def test_a_key_joins_the_texts_of_its_fields(texts: list[str], key: bytes) -> None:
    """Texts stand in their order, U+001F between them, in UTF-8."""
    assert record_key(texts) == key


@pytest.mark.parametrize("texts", [[""], ["a", ""], ["a\x1fb"], ["a", "\x1f"], ["\ud800"]])
def test_what_would_blur_two_keys_is_refused(texts: list[str]) -> None:
    """An empty text, one with U+001F and one that UTF-8 cannot hold make no key."""
    with pytest.raises(ValueError, match=r"."):
        record_key(texts)


def test_the_subject_is_the_first_field() -> None:
    """All records about one subject have it in front."""
    assert subject_of(b"890301199003071238\x1f2026-03") == b"890301199003071238"
    assert subject_of(b"890301199003071238") == b"890301199003071238"


@pytest.mark.parametrize("partitions", [1, 12, 1000])
def test_the_subject_alone_decides_the_partition(partitions: int) -> None:
    """CRC-32 of the subject modulo the number of partitions, whatever else the key holds."""
    wanted = crc32(b"890301199003071238") % partitions
    assert partition_of(b"890301199003071238", partitions) == wanted
    assert partition_of(b"890301199003071238\x1f2026-03", partitions) == wanted


def test_a_partition_that_other_clients_can_check() -> None:
    """The check value of CRC-32 (ISO 3309): 0xCBF43926 for the digits 1 to 9."""
    assert partition_of(b"123456789", 2**32) == 0xCBF43926
