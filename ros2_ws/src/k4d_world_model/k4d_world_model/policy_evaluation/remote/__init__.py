"""Policies behind a websocket: the messages of openpi and RoboArena, and the connection that carries them."""
