"""How much a source fetches while nobody asks it."""

import pytest

from services.shared.kafka_source import bytes_ahead

MEGABYTE = 1 << 20


@pytest.mark.parametrize("partitions", [0, 1, 4, 6, 64, 128])
def test_what_is_fetched_ahead_of_all_partitions_is_at_most_32_mb(partitions: int) -> None:
    assert bytes_ahead(partitions) * partitions <= 32 * MEGABYTE


def test_a_partition_has_at_least_a_useful_fetch() -> None:
    assert bytes_ahead(100_000) == MEGABYTE // 4
    assert bytes_ahead(1) == 8 * MEGABYTE
