"""From any recording, or a microphone, to mono float32 samples on the 16 bit grid at 16 kHz: the only decode path."""
