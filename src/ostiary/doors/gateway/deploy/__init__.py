"""From an AMI to running, reachable gateway nodes: wanted objects, waiting, probes, and what a person does after."""
