"""The control plane: projects, enrollment, issue, inventory, audit. Any number of processes on one database."""
