"""The client of the bench: one file read once for its digests, then uploaded in parts, by the product's own path.

python bench/upload_client.py FILE KEY    to the bucket ``bench``
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from ostiary.aws.import_bucket import Bucket
from ostiary.aws.session import Aws
from ostiary.doors.gateway.image.archive import Archive
from ostiary.doors.gateway.image.inspect import Inspection
from ostiary.doors.gateway.image.ovf import parse_ovf
from ostiary.doors.gateway.importing.reading import read_all
from ostiary.doors.gateway.importing.upload import Content, span, upload

path, key = Path(sys.argv[1]), sys.argv[2]
size = path.stat().st_size
found = Inspection(
    path.name, "ova", size, Archive((), ()), None, b"", parse_ovf(b"<Envelope/>"), (), ()
)
wanted = span(0, size)
_, (checksums,) = read_all(path, found, (wanted,), "", lambda _: None)
aws = Aws(region="us-east-1")
bucket = Bucket("bench", "us-east-1", "")
upload(
    aws,
    bucket,
    key,
    Content(path, wanted, checksums),
    on_step=lambda _: None,
    stop=threading.Event(),
)
