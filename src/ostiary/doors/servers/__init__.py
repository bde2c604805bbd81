"""The server door: people enter servers by SSH with a certificate that opens one connection to one server, once."""
