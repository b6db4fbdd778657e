"""How partitions are shared among workers: sticky, and even for each topic by itself.

aiokafka's sticky assignor evens out the number of partitions over all topics together, so one
worker may get all of `otlp_spans` and another all of `session_spans`. The first does several
times the work of the second.
"""

from collections import defaultdict
from collections.abc import Mapping

from aiokafka.cluster import ClusterMetadata
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyAssignmentExecutor, StickyPartitionAssignor
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata


class StickyByTopicAssignor(StickyPartitionAssignor):  # type: ignore[misc] # aiokafka has no types
    """The sticky assignment of each topic, put together."""

    name = "sticky-by-topic"

    @classmethod
    def assign(
        cls, cluster: ClusterMetadata, members: Mapping[str, ConsumerProtocolMemberMetadata]
    ) -> dict[str, ConsumerProtocolMemberAssignment]:
        metadata = {member: cls.parse_member_metadata(of_member) for member, of_member in members.items()}
        shares: defaultdict[str, list[tuple[str, list[int]]]] = defaultdict(list)
        for topic in sorted({topic for of_member in metadata.values() for topic in of_member.subscription}):
            of_topic = {
                member: found._replace(
                    subscription=[topic], partitions=[place for place in found.partitions if place.topic == topic]
                )
                for member, found in metadata.items()
                if topic in found.subscription
            }
            executor = StickyAssignmentExecutor(cluster, of_topic)
            executor.perform_initial_assignment()
            executor.balance()
            for member in of_topic:
                shares[member] += executor.get_final_assignment(member)
        return {member: ConsumerProtocolMemberAssignment(cls.version, shares[member], b"") for member in members}
