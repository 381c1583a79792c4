"""Training of world models: what a preset says, clips ready to learn from, and the loop."""
