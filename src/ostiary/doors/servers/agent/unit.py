"""The agent as a service of systemd, with the interpreter named by its whole path: ``interpreter.py`` says which.

Source: systemd.service(5), systemd.exec(5). It needs root, /etc, /home and every process of the host, so what can be taken
from it is little: new kernel modules, the clock, raw devices and a writable /usr and /boot.
"""

from __future__ import annotations

NAME = "ostiary-agent.service"
TEXT = """\
[Unit]
Description=Ostiary agent: keeps this host's users as the project says
After=network-online.target
Wants=network-online.target

[Service]
ExecStart={interpreter} -I {file} run
Restart=always
RestartSec=5
LimitCORE=0
UMask=0022
ProtectClock=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
PrivateTmp=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
SystemCallArchitectures=native

[Install]
WantedBy=multi-user.target
"""


def text(interpreter: str, file: str) -> str:
    return TEXT.format(interpreter=interpreter, file=file)
