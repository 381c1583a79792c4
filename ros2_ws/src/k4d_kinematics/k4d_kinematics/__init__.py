"""Exact robot pointmap streams from joint states, plans, velocities or tool poses."""
