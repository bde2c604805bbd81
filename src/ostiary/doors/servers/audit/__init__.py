"""The audit of server access away from the control plane: exported, verified, reconciled."""
