"""The Access Gateway door: an Okta appliance from its OVA file to running instances in an AWS account."""
