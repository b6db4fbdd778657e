from collections import Counter

from aiokafka.cluster import ClusterMetadata
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata
from aiokafka.protocol.metadata import MetadataResponse_v1

from services.sessionizer.assignor import StickyByTopicAssignor

TOPICS = ("otlp_spans", "session_spans")


def cluster(partitions: int) -> ClusterMetadata:
    found = ClusterMetadata()
    topics = [(0, topic, False, [(0, number, 1, [1], [1]) for number in range(partitions)]) for topic in TOPICS]
    found.update_metadata(MetadataResponse_v1([(1, "127.0.0.1", 9092, None)], 1, topics))
    return found


def member(previous: ConsumerProtocolMemberAssignment | None = None) -> ConsumerProtocolMemberMetadata:
    if previous is None:
        StickyByTopicAssignor.member_assignment = None
    else:
        StickyByTopicAssignor.on_assignment(previous)
        StickyByTopicAssignor.on_generation_assignment(1)
    return StickyByTopicAssignor.metadata(set(TOPICS))


def shares(assignment: ConsumerProtocolMemberAssignment) -> set[tuple[str, int]]:
    return {(topic, number) for topic, numbers in assignment.assignment for number in numbers}


def test_every_worker_gets_its_share_of_each_topic() -> None:
    assigned = StickyByTopicAssignor.assign(cluster(6), {"a": member(), "b": member(), "c": member()})
    for share in assigned.values():
        assert Counter(topic for topic, _ in shares(share)) == {"otlp_spans": 2, "session_spans": 2}


def test_every_partition_goes_to_one_worker() -> None:
    assigned = StickyByTopicAssignor.assign(cluster(5), {"a": member(), "b": member()})
    owned = [place for share in assigned.values() for place in shares(share)]
    assert sorted(owned) == sorted((topic, number) for topic in TOPICS for number in range(5))


def test_a_worker_that_joins_takes_its_share_and_the_rest_stays_where_it_was() -> None:
    before = StickyByTopicAssignor.assign(cluster(6), {"a": member(), "b": member()})
    after = StickyByTopicAssignor.assign(
        cluster(6), {"a": member(before["a"]), "b": member(before["b"]), "c": member()}
    )
    for name in ("a", "b"):
        assert shares(after[name]) < shares(before[name])
        assert len(shares(after[name])) == 4
