"""The part of message_filters that nodes rely on: the same names, arguments and pairing rules."""

from .cache import Cache
from .filters import SimpleFilter, Subscriber
from .synchronizers import ApproximateTimeSynchronizer, TimeSynchronizer

__all__ = ["ApproximateTimeSynchronizer", "Cache", "SimpleFilter", "Subscriber", "TimeSynchronizer"]
