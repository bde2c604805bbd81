"""Small real appliances: an ext4 disk with a kernel, in a streamOptimized VMDK, in an OVA. For tests and demos."""
