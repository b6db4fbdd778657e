"""The correction of span times, in the order that the semantics fix."""

from services.shared.model.outcome import Note

YEAR_2000 = 946_684_800 * 10**9
_SIGN_BIT = 1 << 63


def correct(start: int, end: int, record_time: int, max_future: int) -> tuple[int, int, tuple[Note, ...]]:
    """Start and end (unsigned, as on the wire) to an interval that ends by `record_time` + `max_future`.

    A time is zero: the other time, else the record's. The end before the start: the start. The end
    too far ahead: the record's time, and the start too where it is later. Times before 2000 are
    only noted, and so are those that are negative when read as signed: they are far ahead.
    """
    notes = []
    if start >= _SIGN_BIT or end >= _SIGN_BIT:
        notes.append(Note.TIME_NEGATIVE)
    if 0 < start < YEAR_2000 or 0 < end < YEAR_2000:
        notes.append(Note.TIME_BEFORE_2000)
    if not (start and end):
        notes.append(Note.TIME_MISSING)
        start = start or end or record_time
        end = end or start
    if end < start:
        notes.append(Note.END_BEFORE_START)
        end = start
    if end > record_time + max_future:
        notes.append(Note.TIME_IN_FUTURE)
        end = record_time
        start = min(start, record_time)
    return start, end, tuple(notes)
