"""Writers of checkpoints that are not one atom: what the proofs must see, or they prove nothing.

Each puts another `commit` into `TransactionalWriter`. A child of a test applies it to itself.
"""

from collections.abc import Sequence

from aiokafka.structs import OffsetAndMetadata

from services.shared.kafka import OutputRecord, TransactionalWriter

Changes = Sequence[tuple[bytes, bytes | None]]

_commit = TransactionalWriter.commit


async def position_first(
    writer: TransactionalWriter, outputs: Sequence[OutputRecord], changes: Changes, position: int
) -> None:
    """The offset is committed before the outputs: a death between the two loses them."""
    assert writer._producer is not None
    await writer._producer.begin_transaction()
    await writer._producer.send_offsets_to_transaction({writer._input: OffsetAndMetadata(position, "")}, writer._group)
    await writer._producer.commit_transaction()
    await _commit(writer, outputs, changes, position)


async def outputs_first(
    writer: TransactionalWriter, outputs: Sequence[OutputRecord], changes: Changes, position: int
) -> None:
    """The outputs are committed before the offset: a death between the two writes them again."""
    assert writer._producer is not None
    await writer._producer.begin_transaction()
    for topic, partition, key, value, headers in outputs:
        await writer._send(topic, partition, [(key, value, headers)])
    await writer._producer.commit_transaction()
    await _commit(writer, [], changes, position)


async def states_left_out(
    writer: TransactionalWriter, outputs: Sequence[OutputRecord], changes: Changes, position: int
) -> None:
    """Of the states only the meta record is written, which is the last one: successors know nothing of the windows."""
    await _commit(writer, outputs, changes[-1:], position)


MUTATIONS = {mutation.__name__: mutation for mutation in (position_first, outputs_first, states_left_out)}


def apply(name: str) -> None:
    """From now on, in this process."""
    setattr(TransactionalWriter, "commit", MUTATIONS[name])  # noqa: B010 - a type checker rightly refuses the assignment
