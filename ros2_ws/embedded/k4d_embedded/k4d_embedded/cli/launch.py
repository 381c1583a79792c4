"""`k4d-launch`: starts the processes of an XML launch file, as `ros2 launch` does on a machine with ROS."""

import argparse
import os
import sys
import tempfile
from pathlib import Path

from k4d_embedded.errors import EmbeddedError, LaunchArgumentError, LaunchFileError
from k4d_embedded.launcher.launch_file import declared_arguments, plan_launch
from k4d_embedded.launcher.packages import package_share
from k4d_embedded.launcher.supervisor import Supervisor

_EPILOG = """Example:
  k4d-launch k4d_bringup demo.launch.xml bag:=examples/panda_pick_place output:=out/recording
  k4d-launch launch/demo.launch.xml --show-args

The exit code is that of the first process that failed, 130 after Ctrl-C, 2 for a mistake in the launch file.
"""


def main(words: list[str] | None = None) -> None:
    """Launch a file and exit with its code."""
    parser = argparse.ArgumentParser(
        prog="k4d-launch",
        description=__doc__,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", nargs="+", help="FILE.launch.xml, or PACKAGE FILE.launch.xml; then name:=value ...")
    parser.add_argument("--show-args", "-s", action="store_true", help="list the arguments of the launch file")
    options = parser.parse_args(words)
    try:
        names = [word for word in options.file if ":=" not in word]
        path = _find_file(names)
        if options.show_args:
            _show_arguments(path)
            return
        code = _launch(path, _arguments(options.file))
    except EmbeddedError as error:
        print(f"k4d-launch: {error}", file=sys.stderr)
        raise SystemExit(2) from error
    raise SystemExit(code)


def _launch(path: Path, arguments: dict[str, str]) -> int:
    with tempfile.TemporaryDirectory(prefix="k4d_launch_") as scratch:
        plans = plan_launch(path, arguments, os.environ, Path(scratch))
        return Supervisor(plans, lambda line: print(line, flush=True)).run()


def _find_file(names: list[str]) -> Path:
    if len(names) == 1:
        return Path(names[0])
    if len(names) != 2:
        raise LaunchFileError(f"give FILE.launch.xml, or PACKAGE FILE.launch.xml, got {names}")
    package, name = names
    share = package_share(package)
    folders = os.walk(share, followlinks=True)  # an editable installation links its folders
    found = sorted(Path(folder) / name for folder, _, files in folders if name in files)
    if len(found) != 1:
        raise LaunchFileError(f"{share} must hold {name} once, it holds {[str(path) for path in found]}")
    return found[0]


def _arguments(words: list[str]) -> dict[str, str]:
    arguments = {}
    for word in words:
        name, sign, value = word.partition(":=")
        if sign:
            if not name:
                raise LaunchArgumentError(f"an argument is written name:=value, got {word!r}")
            arguments[name] = value
    return arguments


def _show_arguments(path: Path) -> None:
    print(f"Arguments of {path} (as 'name:=value'):")
    for argument in declared_arguments(path):
        default = f"(default: {argument.default!r})" if argument.default is not None else "(required)"
        print(f"\n    {argument.name!r}:\n        {argument.description}\n        {default}")
