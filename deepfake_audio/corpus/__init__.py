"""Which clips there are, with which labels, how they are split, and what looks wrong about them."""
