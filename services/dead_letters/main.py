"""`spanloom dead-letter`: look at dead letters, and send them again."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from services.dead_letters.ledger import Ledger, encode_entry
from services.dead_letters.mailbox import Mailbox, ledger_spec
from services.dead_letters.report import as_json, as_text, file_name
from services.dead_letters.resender import Resender, Shipment, TooLargeForTopicError
from services.dead_letters.selection import Selection
from services.shared.errors import SettingsError
from services.shared.kafka_topics import ensure_topics
from services.shared.records.dead_letters import Letter
from services.shared.settings import Settings

Echo = Callable[[str], None]

_BATCH_LETTERS = 1_000
_BATCH_BYTES = 8 << 20


def list_letters(
    settings: Settings, selection: Selection, *, as_json_lines: bool, save: Path | None, echo: Echo
) -> int:
    """Write one entry a letter, and save their bytes in `save`. Gives the exit code: 0, however many there are.

    Nothing changes anywhere but in `save`. Memory is bounded by the reader's.
    """
    mailbox = Mailbox(settings, _brokers(settings))
    ledger = mailbox.ledger()
    reasons: Counter[str] = Counter()
    if save is not None:
        save.mkdir(parents=True, exist_ok=True)
    for letter, topic_id in _selected(mailbox, selection):
        reasons[letter.reason or "unknown"] += 1
        write = as_json if as_json_lines else as_text
        echo(write(letter, was_sent=_is_in(ledger, letter, topic_id)))
        if save is not None:
            (save / file_name(letter)).write_bytes(letter.record.value or b"")
    if not as_json_lines:
        echo(_summary(reasons))
    return 0


def replay_letters(settings: Settings, selection: Selection, *, again: bool, dry_run: bool, echo: Echo) -> int:
    """Send letters to the partitions they came from; those that were sent before only if `again`.

    Gives the exit code: 0, or 1 when some could not be sent, each told in a line. Whatever ends
    it, a letter was sent exactly when the ledger says so: the next run goes on.
    """
    bootstrap = _brokers(settings)
    if dry_run:
        return _Replay(Mailbox(settings, bootstrap), None, ledger_spec(settings).name, echo).run(selection, again=again)
    asyncio.run(ensure_topics(bootstrap, [ledger_spec(settings)]))
    with Resender(bootstrap, f"{settings.app_id}-dead-letter-replay") as resender:
        replay = _Replay(Mailbox(settings, bootstrap), resender, ledger_spec(settings).name, echo)
        return replay.run(selection, again=again)


def _brokers(settings: Settings) -> str:
    if not settings.kafka_bootstrap:
        raise SettingsError(
            "SPANLOOM_KAFKA_BOOTSTRAP is not set: name the brokers that hold the dead letters. The embedded broker of"
            " `spanloom up` is memory of that process; its gateway refuses what nobody can decode with 400 instead"
        )
    return settings.kafka_bootstrap


class _Replay:
    """One run. Without `resender` it only says what it would do."""

    def __init__(self, mailbox: Mailbox, resender: Resender | None, ledger_topic: str, echo: Echo) -> None:
        self._mailbox, self._resender, self._ledger_topic, self._echo = mailbox, resender, ledger_topic, echo
        self._counts: Counter[str] = Counter()
        self._batch: list[tuple[Letter, Shipment]] = []
        self._batch_bytes = 0
        self._topic_id = ""

    def run(self, selection: Selection, *, again: bool) -> int:
        ledger = self._mailbox.ledger()
        for letter, topic_id in _selected(self._mailbox, selection):
            if topic_id != self._topic_id:
                self._flush()
                self._topic_id = topic_id
            if not again and _is_in(ledger, letter, topic_id):
                self._counts["sent before"] += 1
                continue
            self._take(letter)
        self._flush()
        verb = "would be sent" if self._resender is None else "sent"
        told = [f"{self._counts['sent']} letters {verb}"]
        told += [f"{self._counts[what]} {what}" for what in ("sent before", "cannot be sent") if self._counts[what]]
        self._echo(", ".join(told))
        return 1 if self._counts["cannot be sent"] else 0

    def _take(self, letter: Letter) -> None:
        home = self._mailbox.home(letter)
        if isinstance(home, str):
            self._refuse(letter, home)
            return
        if self._resender is None:
            self._counts["sent"] += 1
            self._echo(f"{as_text(letter, was_sent=False)}\n    to {home[0]}/{home[1]}")
            return
        self._batch.append((letter, Shipment(*home, letter.record.key, letter.record.value, letter.again)))
        self._batch_bytes += letter.size
        if len(self._batch) >= _BATCH_LETTERS or self._batch_bytes >= _BATCH_BYTES:
            self._flush()

    def _flush(self) -> None:
        batch, self._batch, self._batch_bytes = self._batch, [], 0
        if batch:
            self._send(batch)

    def _send(self, batch: list[tuple[Letter, Shipment]]) -> None:
        """All of a batch in one transaction; where one is too large, halves of it, down to that one."""
        assert self._resender is not None
        letters = [letter for letter, _ in batch]
        places = [(letter.record.partition, letter.record.offset) for letter in letters]
        entry = encode_entry(letters[0].record.topic, self._topic_id, places)
        try:
            self._resender.send([*(shipment for _, shipment in batch), Shipment(self._ledger_topic, 0, None, entry)])
        except TooLargeForTopicError as error:
            if len(batch) == 1:
                self._refuse(letters[0], f"is too large for {batch[0][1].topic}: {error}")
                return
            half = len(batch) // 2
            self._send(batch[:half])
            self._send(batch[half:])
            return
        self._counts["sent"] += len(batch)
        self._echo(f"sent {self._counts['sent']} letters, up to {letters[-1].name}")

    def _refuse(self, letter: Letter, why: str) -> None:
        self._counts["cannot be sent"] += 1
        self._echo(f"{letter.name} {why}")


def _selected(mailbox: Mailbox, selection: Selection) -> Iterator[tuple[Letter, str]]:
    """The letters that are meant with the id of their topic, topic by topic, at most `limit` in all."""
    left = selection.limit
    for topic in mailbox.topics(selection):
        topic_id = mailbox.topic_id(topic)
        for letter in mailbox.letters(topic, selection):
            if left == 0:
                return
            if left is not None:
                left -= 1
            yield letter, topic_id


def _is_in(ledger: Ledger, letter: Letter, topic_id: str) -> bool:
    return ledger.has(topic_id, letter.record.partition, letter.record.offset)


def _summary(reasons: Counter[str]) -> str:
    if not reasons:
        return "no dead letters"
    told = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
    return f"{reasons.total()} dead letters: {told}"
