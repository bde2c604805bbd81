"""The client of the bench: one file read once for its digests, then uploaded in parts, by the product's own path.

python bench/upload_client.py OVA KEY SHA256    to the bucket ``bench``
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from ostiary.aws.import_bucket import Bucket
from ostiary.aws.session import Aws
from ostiary.doors.gateway.image.inspect import inspect
from ostiary.doors.gateway.importing.reading import read_all
from ostiary.doors.gateway.importing.upload import Content, span, upload

path, key, expected = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
wanted = span(0, path.stat().st_size)
found, (checksums,) = read_all(path, inspect(path), (wanted,), expected, lambda _: None)
if found.digest != expected:
    sys.exit("the digest is not the expected one")
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
