"""What a node keeps beside its records, from its settings."""

from contextlib import AsyncExitStack
from pathlib import Path

from openldn.fhir.model import FhirVersion
from openldn.fhir.records.store import Records
from openldn.functions.audit.heads import HeadKey
from openldn.functions.audit.heads import Kept as KeptHeads
from openldn.functions.audit.model import Source as Keeper
from openldn.functions.audit.service import AuditLog, key_of
from openldn.functions.audit.spool import Spool
from openldn.functions.audit.vouching import Vouching
from openldn.functions.authorization.own import OwnPolicy
from openldn.node.settings import NodeSettings


def audit_of(settings: NodeSettings, records: Records) -> AuditLog:
    """The log of this node, in the database of its records."""
    stu3, names = settings.fhir(FhirVersion.STU3), settings.audit_staff_names
    keeper, sealing = Keeper(settings.holder, settings.key, stu3, names), settings.sealing_key
    spool = Spool(sealing.with_suffix(".spool"))
    runtime = (records.clock, records.new_id)
    return AuditLog(records.pool, keeper, key_of(sealing), *runtime, spool=spool)


def vouching_of(audit: AuditLog, sealing: Path) -> Vouching:
    """Heads are signed with a key beside that of the log, and kept in a file beside both."""
    key = HeadKey.at(sealing.with_suffix(".heads.pem"))
    return Vouching(audit, key, KeptHeads(sealing.with_suffix(".heads")))


async def own_policy_of(settings: NodeSettings, stack: AsyncExitStack) -> OwnPolicy | None:
    """The organization's own policy; raises LdnError(invalid) for a file that cannot be used."""
    if settings.own_policy is None:
        return None
    own = await OwnPolicy.open(settings.own_policy, settings.own_patience)
    stack.push_async_callback(own.close)
    return own
