"""The network, its one self-describing file, whether that file can be trusted, and what runs it."""
