"""Makes `.venv` ready to work in: Python packages, message packages, our packages editable, compiled kernels.

    python3 tools/set_up.py

Every step runs only when its inputs changed since it last succeeded, so a second run is done in moments. Needs nothing
but the standard library. Python comes from the variable PYTHON, or is the first of python3.11 to 3.13 that runs.
"""

import ctypes
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMPS = VENV / "set_up_stamps"
CANDIDATES = ("python3.11", "python3.12", "python3.13")
OLDEST_PYTHON = (3, 11)
LOCKS = ("kinematics", "embedded", "simulation", "world_model", "alignment", "test")
MESSAGE_PACKAGES = (
    "ros2_ws/embedded/tf2_msgs",
    "ros2_ws/embedded/object_recognition_msgs",
    "ros2_ws/embedded/moveit_msgs",
    "ros2_ws/src/k4d_msgs",
)
PYTHON_PACKAGES = (
    "ros2_ws/src/k4d_kinematics",
    "ros2_ws/src/k4d_simulation",
    "ros2_ws/src/k4d_world_model",
    "ros2_ws/src/k4d_bringup",
    "ros2_ws/embedded/k4d_embedded",
)
KERNELS = ROOT / "ros2_ws/src/k4d_kinematics/k4d_kinematics"
ACTIVATION = "import k4d_embedded.home; k4d_embedded.home.activate()\n"


class SetUpError(Exception):
    """The environment cannot be made; the message says what to do."""


def main() -> int:
    """Runs every step that is due and prints each with its time."""
    started = time.monotonic()
    try:
        check_system_packages(ROOT / "tools" / "system_packages.txt")
        make_environment()
        install_lock(LOCKS[0])
        with ThreadPoolExecutor(1) as beside:  # pip and the compilers leave the second core idle for most of the time
            kernels = beside.submit(step, "compile the numba kernels", KERNELS.glob("*.py"), compile_kernels)
            for lock in LOCKS[1:]:
                install_lock(lock)
            for package in MESSAGE_PACKAGES:
                step(f"build {package}", sources(package), partial(build_messages, package))
            for package in PYTHON_PACKAGES:
                step(f"install {package}", declarations(package), partial(install_editable, package))
            step("enter the embedded ROS 2 home", [Path(__file__)], activate_home)
            kernels.result()
    except SetUpError as error:
        print(f"set-up: {error}", file=sys.stderr)
        return 1
    print(f"set-up: ready in {time.monotonic() - started:.1f} s ({VENV.name})")
    return 0


def step(name: str, inputs: Iterable[Path], action: Callable[[], None]) -> None:
    """Runs ``action`` unless it already succeeded with the same content of ``inputs``; prints its time."""
    digest = hashlib.sha256()
    for path in sorted(inputs):
        digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    stamp = STAMPS / re.sub(r"\W+", "_", name)
    if stamp.exists() and stamp.read_text() == digest.hexdigest():
        return
    print(f"set-up: {name} ...", flush=True)
    started = time.monotonic()
    action()
    STAMPS.mkdir(exist_ok=True)
    stamp.write_text(digest.hexdigest())
    print(f"set-up: {name}: {time.monotonic() - started:.1f} s", flush=True)


def check_system_packages(listing: Path) -> None:
    """Installs the missing Debian packages where we are root with apt, and otherwise stops with the line to run."""
    entries = [line.split() for line in listing.read_text().splitlines() if line.strip() and not line.startswith("#")]
    missing = [entry[0] for entry in entries if not is_present(*entry[1:])]
    if not missing:
        return
    command = ["apt-get", "install", "-y", "--no-install-recommends", *missing]
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise SetUpError(f"these system packages are missing; install them and run again:\n  sudo {' '.join(command)}")
    print(f"set-up: installing system packages: {' '.join(missing)}", flush=True)
    run("apt-get", "update", "-qq")
    run(*command)
    absent = [entry[0] for entry in entries if not is_present(*entry[1:])]
    if absent:
        raise SetUpError(f"apt installed {' '.join(absent)}, but what they should bring is still missing or too old")


def is_present(kind: str, name: str, minimum: str = "0") -> bool:
    """Whether a command of at least a version, or a shared library, can be found. Raises SetUpError on another kind."""
    if kind == "library":
        try:
            ctypes.CDLL(name)
        except OSError:
            return False
        return True
    if kind != "command":
        raise SetUpError(f"tools/system_packages.txt: expected 'command' or 'library', got {kind!r}")
    if shutil.which(name) is None:
        return False
    printed = subprocess.run([name, "--version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"(\d+)\.(\d+)", printed)
    return minimum == "0" or (found is not None and version(found[0]) >= version(minimum))


def version(text: str) -> tuple[int, ...]:
    """Numbers of a dotted version."""
    return tuple(int(part) for part in text.split("."))


def make_environment() -> None:
    """Creates `.venv` unless it runs already with the wanted Python."""
    python = VENV / "bin" / "python"
    wanted = os.environ.get("PYTHON", "")
    found = python_version(str(python))
    if found is not None:
        asked = python_version(wanted) if wanted else found
        if asked is None:
            raise SetUpError(f"PYTHON={wanted} does not run; give another one, or none to keep Python {dotted(found)}")
        if asked != found:
            raise SetUpError(
                f"{VENV.name} holds Python {dotted(found)}, PYTHON={wanted} is {dotted(asked)}: remove it first"
            )
        return
    for candidate in [wanted] if wanted else CANDIDATES:
        candidate_version = python_version(candidate)
        if candidate_version is not None and candidate_version >= OLDEST_PYTHON:
            print(f"set-up: making {VENV.name} with {candidate} ({dotted(candidate_version)})", flush=True)
            run(candidate, "-m", "venv", "--clear", str(VENV))
            return
    tried = wanted or ", ".join(CANDIDATES)
    raise SetUpError(f"no Python of at least {dotted(OLDEST_PYTHON)} runs (tried {tried}); give one as make PYTHON=...")


def dotted(numbers: tuple[int, ...]) -> str:
    """A version as people write it."""
    return ".".join(map(str, numbers))


def python_version(python: str) -> tuple[int, ...] | None:
    """Major and minor version of an interpreter, or None where it does not run."""
    probe = "import sys; print(*sys.version_info[:2])"
    try:
        done = subprocess.run(
            [python, "-c", probe], capture_output=True, text=True, check=True, env=clean_environment()
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return tuple(int(part) for part in done.stdout.split())


def install_lock(lock: str) -> None:
    """Installs the packages of one file of pins, the first of which holds all that our kernels need."""
    file = ROOT / "requirements" / f"{lock}.txt"
    step(f"install requirements/{lock}.txt", [file], partial(pip, "install", "-r", str(file)))


def build_messages(package: str) -> None:
    """Compiles an interface package against the ROS wheels and installs it beside them."""
    paths = {"CMAKE_PREFIX_PATH": str(VENV), "AMENT_PREFIX_PATH": str(VENV)}
    pip("install", "--force-reinstall", "--no-build-isolation", "--no-deps", str(ROOT / package), **paths)


def install_editable(package: str) -> None:
    """Installs one of our packages editable, and lets the ament index find its checkout as its share folder."""
    # Older releases of pip would run setup.py themselves, which puts commands where only colcon's set-up looks.
    words = ("install", "--use-pep517", "--no-build-isolation", "--no-deps", "-e", str(ROOT / package))
    pip(*words, PYTHONWARNINGS="ignore")
    name = Path(package).name
    index = VENV / "share/ament_index/resource_index/packages"
    index.mkdir(parents=True, exist_ok=True)
    (index / name).touch()
    share = VENV / "share" / name
    share.mkdir(exist_ok=True)
    link(share / "package.xml", ROOT / package / "package.xml")
    if name == "k4d_bringup":
        for folder in ("launch", "config"):
            link(share / folder, ROOT / folder)


def link(name: Path, target: Path) -> None:
    """Points the symbolic link ``name`` to ``target``."""
    name.unlink(missing_ok=True)
    name.symlink_to(target)


def activate_home() -> None:
    """Lets every Python of the environment find the stand-ins, the ament index and the Fast DDS profile."""
    (site_packages,) = (VENV / "lib").glob("python3.*/site-packages")
    (site_packages / "k4d_embedded.pth").write_text(ACTIVATION)


def compile_kernels() -> None:
    """Compiles the numba kernels anew: numba's own cache misses changes of a kernel that another file calls."""
    for stale in KERNELS.glob("__pycache__/*.nb[ci]"):
        stale.unlink()
    run(VENV / "bin" / "python", "-m", "k4d_kinematics.compilation", PYTHONPATH=str(KERNELS.parent))


def sources(package: str) -> list[Path]:
    """All files of a package."""
    return [path for path in (ROOT / package).rglob("*") if path.is_file()]


def declarations(package: str) -> list[Path]:
    """The files that decide what is installed of an editable package."""
    return [path for path in (ROOT / package).glob("*") if path.is_file()] + [Path(__file__)]


def pip(*arguments: str, **environment: str) -> None:
    """Runs the environment's pip quietly."""
    run(VENV / "bin" / "python", "-m", "pip", "-q", "--disable-pip-version-check", *arguments, **environment)


def run(*command: str | Path, **environment: str) -> None:
    """Runs a command in the checkout with the environment's programs first. Raises SetUpError when it fails."""
    variables = clean_environment() | environment
    variables["PATH"] = f"{VENV / 'bin'}{os.pathsep}{variables.get('PATH', '')}"
    try:
        subprocess.run([str(part) for part in command], check=True, cwd=ROOT, env=variables)
    except (OSError, subprocess.CalledProcessError) as error:
        raise SetUpError(f"{describe(command)} failed: {error}") from error


def describe(command: Sequence[str | Path]) -> str:
    """A command as a person would type it."""
    return " ".join(str(part) for part in command)


def clean_environment() -> dict[str, str]:
    """Our environment without what the ROS wheels of another Python put into it."""
    variables = dict(os.environ)
    if variables.pop("_ROS_WHEELS_BOOTSTRAP_COMPLETE", None):
        variables.pop("LD_LIBRARY_PATH", None)
    for name in ("PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV"):
        variables.pop(name, None)
    return variables


if __name__ == "__main__":
    sys.exit(main())
