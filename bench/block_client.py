"""The client of the bench: one VMDK into a snapshot at a block server, by the product's own path.

python bench/block_client.py VMDK RUNS PORT CONNECTIONS [PARENT]    prints CPU, wall, peak memory
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from pathlib import Path

started, wall = time.process_time(), time.monotonic()
_, vmdk, runs, port, connections, *parent = sys.argv
os.environ |= {
    "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
    "AWS_ACCESS_KEY_ID": "bench",
    "AWS_SECRET_ACCESS_KEY": "bench",
    "AWS_EC2_METADATA_DISABLED": "true",
}

from ostiary.aws.ebs_direct import EbsDirect  # noqa: E402 - after the environment
from ostiary.aws.session import Aws  # noqa: E402
from ostiary.doors.gateway.image.formats import open_disk  # noqa: E402
from ostiary.doors.gateway.importing import block_index, direct  # noqa: E402
from ostiary.plan.runs import FolderStore  # noqa: E402

aws = Aws(region="us-east-1")
ebs = EbsDirect(aws, "us-east-1", connections=int(connections))
store = FolderStore(Path(runs) / "store")
with Path(vmdk).open("rb") as file:
    disk = open_disk(file.fileno(), 0, os.fstat(file.fileno()).st_size)
    sent = direct.send(
        disk,
        ebs,
        store.log(f"bench/{len(parent)}"),
        token="bench",
        description="bench",
        tags={},
        connections=int(connections),
        parent=parent[0] if parent else "",
        parent_digests=block_index.load(store, parent[0]) if parent else None,
    )
block_index.keep(store, sent.snapshot_id, sent.digests)
usage = resource.getrusage(resource.RUSAGE_SELF)
# ru_maxrss would count the process that started this one
status = Path("/proc/self/status").read_text()
peak = int(status.partition("VmHWM:")[2].split()[0])
told = {
    "cpu": usage.ru_utime + usage.ru_stime,
    "wall": time.monotonic() - wall,
    "rss": peak,
}
print(json.dumps({**told, "blocks": len(sent.digests), "sent": sent.sent}))
