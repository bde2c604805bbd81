"""Machine images of the embedded AWS: EBS direct APIs, the AMI registry, VM Import. Our own backends, none of moto's."""
