"""What the two routes through VM Import need first: the bucket, and the role that the service works as."""

from __future__ import annotations

from typing import cast

from ostiary.aws import import_bucket
from ostiary.aws.import_bucket import Bucket
from ostiary.aws.key_arn import key_arn
from ostiary.aws.service_role import NAME as ROLE
from ostiary.aws.service_role import ServiceRoleKind, trust_statement
from ostiary.doors.gateway.engine import carry_out, plan_for
from ostiary.doors.gateway.importing import record as records
from ostiary.doors.gateway.importing.job import Job
from ostiary.doors.gateway.importing.record import Record
from ostiary.doors.gateway.importing.settings import Step
from ostiary.errors import Unreachable
from ostiary.plan.resource import Key, Resource, Value

ROLE_ESTATE = "gateway-import"


def prepared(job: Job, record: Record) -> tuple[Bucket, Record, bool]:
    """Bucket and role, both made or put right; whether the role was written to just now."""
    reached = job.reached
    account_id = reached.account_id
    name = job.settings.bucket or import_bucket.default_name(account_id, reached.region)
    record = records.keep(reached.store, record, bucket=name)
    bucket = import_bucket.ensure_bucket(reached.aws, name, reached.region, account_id)
    if bucket.made:
        job.on_step(Step("bucket", text=f"{name} made"))
    return bucket, record, ensure_role(job, bucket)


def ensure_role(job: Job, bucket: Bucket) -> bool:
    """The role ``vmimport`` for this bucket, planned and applied like everything else; whether it was written to."""
    reached = job.reached
    keys = [job.settings.kms_key] if job.settings.kms_key else []
    if bucket.kms_key:  # what S3 keeps encrypted the service must be able to decrypt
        keys.append(key_arn(reached.aws, reached.region, bucket.kms_key))
    kinds = (ServiceRoleKind(reached.aws),)
    trust = trust_statement(reached.aws.partition.name, reached.account_id)
    wanted = Resource(
        Key("service-role", reached.account_id, ROLE),
        {"trust": cast("Value", trust), "buckets": [bucket.name], "keys": [*keys]},
    )
    plan = plan_for(reached, ROLE_ESTATE, [wanted], kinds)
    if plan.unread:
        unread = plan.unread[0]
        raise Unreachable(f"cannot read the role {ROLE}", why=unread.why, fix=unread.fix)
    if plan.writes:
        job.on_step(Step(f"role {ROLE}", text=plan.writes[0].action))
        carry_out(reached, plan, kinds, stop=job.stop)
    return bool(plan.writes)
