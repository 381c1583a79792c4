"""The one way in which a node's process starts, explains itself and ends."""

import signal
import sys
from collections.abc import Callable
from typing import Any

import rclpy
from rclpy.exceptions import NotInitializedException
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node

from k4d_kinematics.cli.node_help import print_node_help
from k4d_kinematics.ros.large_messages import keep_freed_memory


def run_node(
    make_node: Callable[[], Node],
    schema: type,
    description: str,
    expected: type[Exception] | tuple[type[Exception], ...],
) -> int:
    """Runs a node until it is interrupted or shuts its context down; returns the process's exit code.

    ``--help`` prints the description and the parameters of ``schema``. An ``expected`` error while the node is made or
    spins ends it with code 1 and the message. A node with a method ``close`` is closed in every case.
    """
    if {"-h", "--help"} & set(sys.argv[1:]):
        print_node_help(schema, description, sys.argv[0])
        return 0
    keep_freed_memory()
    rclpy.init()
    node: Any = None
    try:
        node = make_node()
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except (RuntimeError, NotInitializedException):
        # What rclpy raises where SIGTERM shut its context down while the node was being made.
        if rclpy.ok():
            raise
    except expected as error:
        rclpy.logging.get_logger(node.get_name() if node else "k4d").fatal(str(error))
        return 1
    finally:
        # Ctrl-C reaches a launched node twice, from the terminal and from ros2 launch; once is enough to end in order.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if hasattr(node, "close"):
            node.close()
        rclpy.try_shutdown()
    return 0
