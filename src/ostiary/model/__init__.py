"""The nouns: frozen dataclasses and pure rules over them, no I/O."""
