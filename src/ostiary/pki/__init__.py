"""SSH and X.509 certificates, sans-IO: encoding, reading, judging, and the Signer that makes them."""
