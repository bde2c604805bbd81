"""Reading an appliance from its file, without a network: archive, manifest, descriptor, disks, partitions."""
