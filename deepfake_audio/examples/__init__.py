"""What is made of clips for training: splices, channels, copies, and examples with labels."""
