"""
Say which fields of an object are ours by having created it, so that an apply may take them over.

A create records its fields under our name with the operation "Update". A later apply under the same
name records its own beside them; a field that is no longer wanted would stay, since the first
record still holds it. Renaming the record to "Apply" is what kubectl does for the same reason.
Source: k8s.io/client-go, util/csaupgrade.

Must not import anything of this package but kinds.
"""

from workspace_operator.cluster.kinds import Manifest

FIELD_MANAGER = "atelier"


def handed_over(live: Manifest) -> list[Manifest] | None:
    """Return the records of an object with ours turned into an apply's; None where that is done."""
    records = live.get("metadata", {}).get("managedFields") or []
    if any(_is_ours(record, "Apply") for record in records):
        return None
    if not any(_is_ours(record, "Update") for record in records):
        return None
    return [
        record | {"operation": "Apply"} if _is_ours(record, "Update") else record
        for record in records
    ]


def _is_ours(record: Manifest, operation: str) -> bool:
    return (
        record.get("manager") == FIELD_MANAGER
        and record.get("operation") == operation
        and not record.get("subresource")
    )
