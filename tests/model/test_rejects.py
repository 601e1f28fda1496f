"""What was refused stays small, however many reasons there are."""

from shoal.errors import MOST_REASONS, OTHER_REASONS, Rejects


def test_reasons_are_bounded_and_every_row_is_counted() -> None:
    one, other = Rejects(), Rejects()
    for i in range(500):
        one.add(f"the row has {i} numbers", 1, f"row {i}")
        other.add(f"the row has {i + 400} numbers", 2, f"row {i}")
    both = one.merge(other)
    for log, total in ((one, 500), (other, 1000), (both, 1500)):
        assert log.total == total
        assert len(log.counts) == MOST_REASONS + 1
    assert both.counts["the row has 0 numbers"] == 1
    assert both.counts[OTHER_REASONS] > 1200
    assert Rejects.from_dict(both.to_dict()).total == 1500
