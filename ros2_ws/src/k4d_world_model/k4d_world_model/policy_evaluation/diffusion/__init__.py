"""A small diffusion policy: demonstrations of the simulator, the network that learns from them, and its training."""
