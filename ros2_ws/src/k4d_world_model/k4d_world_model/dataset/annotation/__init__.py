"""Pointmaps, masks and captions that outside tools find in recorded pictures."""
