"""The engine: desired resources and readings make a plan; one executor applies it. No cloud in here."""
