"""A static member of a consumer group: how it leaves, which neither client does by itself."""

from __future__ import annotations

import logging

from kafka import KafkaAdminClient
from kafka.admin import MemberToRemove
from kafka.errors import KafkaError

from connectors.kafka_connection import KafkaSettings, connect
from detector.errors import SourceError

log = logging.getLogger(__name__)


def leave(settings: KafkaSettings, member_id: str, instance_id: str) -> None:
    """Take the static member out of its group; otherwise its partitions rest until its session times out.

    Both ids are given, so that a process that has taken its place meanwhile stays. Never raises: what cannot
    leave is taken out by the broker in the end.
    """
    member = MemberToRemove(member_id=member_id, group_instance_id=instance_id, reason="shutdown")
    try:
        admin = connect(KafkaAdminClient, settings)
        try:
            admin.remove_group_members(settings.group_id, [member])
        finally:
            admin.close()
    except (KafkaError, SourceError) as error:
        log.info("%s could not leave group %s (%s)", instance_id, settings.group_id, error)
