"""Which size is which instance type. Pure.

Source: Okta, "Access Gateway capacity planning and sizing", which names t2 and m4 types; here stand the Nitro types with the
same cores and memory, as t2 and m4 start no UEFI image. Nobody at Okta says that these are tested (unverified).
"""

from __future__ import annotations

from collections.abc import Mapping

SIZES: Mapping[str, str] = {
    "small": "t3.medium",  # 2 cores, 4 GiB; Okta: t2.medium
    "medium": "m5.large",  # 2 cores, 8 GiB; Okta: m4.large
    "large": "m5.xlarge",  # 4 cores, 16 GiB; Okta: m4.xlarge
}
LEAST_MEMORY = 2048  # MiB: what Okta gives a proof of concept
DISKS: Mapping[str, int] = {"small": 220, "medium": 500, "large": 500}  # GB that Okta names
