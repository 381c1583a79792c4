"""The set-up's own decisions: what counts as present, what is done again, what it says when it cannot go on."""

import importlib.util
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def set_up() -> ModuleType:
    spec = importlib.util.spec_from_file_location("set_up", ROOT / "tools" / "set_up.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_step_runs_only_when_its_inputs_changed(
    set_up: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(set_up, "ROOT", tmp_path)
    monkeypatch.setattr(set_up, "STAMPS", tmp_path / "stamps")
    source, runs = tmp_path / "a.txt", []
    for text in ("one", "one", "two", "two", "one"):
        source.write_text(text)
        set_up.step("do it", [source], lambda text=text: runs.append(text))
    assert runs == ["one", "two", "one"]


def test_a_step_that_failed_runs_again(set_up: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(set_up, "STAMPS", tmp_path / "stamps")

    def fail() -> None:
        raise set_up.SetUpError("broken")

    for _ in range(2):
        with pytest.raises(set_up.SetUpError, match="broken"):
            set_up.step("do it", [], fail)


def test_presence_of_commands_and_libraries(set_up: ModuleType) -> None:
    assert set_up.is_present("command", "cmake", "3.21")
    assert not set_up.is_present("command", "cmake", "99.0")
    assert not set_up.is_present("command", "no-such-command")
    assert set_up.is_present("library", "libc.so.6")
    assert not set_up.is_present("library", "libnowhere.so.1")
    with pytest.raises(set_up.SetUpError, match="'command' or 'library', got 'file'"):
        set_up.is_present("file", "x")


def test_without_root_it_stops_with_the_exact_line(
    set_up: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listing = tmp_path / "packages.txt"
    listing.write_text("# package  check\ncmake command cmake 3.0\nnowhere1 library libnowhere.so.1\n")
    monkeypatch.setattr(set_up.os, "geteuid", lambda: 1000)
    monkeypatch.setattr(set_up, "run", lambda *words, **_: pytest.fail(f"ran {words}"))
    with pytest.raises(set_up.SetUpError, match=r"sudo apt-get install -y --no-install-recommends nowhere1$"):
        set_up.check_system_packages(listing)


def test_a_python_that_does_not_run_is_passed_over(set_up: ModuleType, tmp_path: Path) -> None:
    shim = tmp_path / "python3.12"
    shim.write_text("#!/bin/sh\necho 'not found' >&2\nexit 127\n")
    shim.chmod(0o755)
    assert set_up.python_version(str(shim)) is None
    assert set_up.python_version(str(tmp_path / "nowhere")) is None
    assert set_up.python_version(sys.executable) == sys.version_info[:2]


def test_make_starts_the_set_up_with_a_python_that_runs(tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text((ROOT / "Makefile").read_text())
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "set_up.py").write_text("import os\nprint(os.environ['PYTHON'], os.environ['STARTED_AS'])\n")
    for name in ("python3", "python3.11", "python3.12"):
        script = f'STARTED_AS={name} exec "{sys.executable}" "$@"' if name == "python3.12" else "exit 127"
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    command = [str(shutil.which("make")), "--no-print-directory", "setup", "PYTHON=/nonexistent/python"]
    run = partial(
        subprocess.run, cwd=tmp_path, env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    done = run(command)
    assert (done.returncode, done.stdout) == (0, "/nonexistent/python python3.12\n"), done.stderr
    (tmp_path / "python3.12").unlink()
    done = run(command)
    assert done.returncode != 0
    assert done.stderr.startswith("set-up: no Python of at least 3.11 runs"), done.stderr


def test_a_wanted_python_that_does_not_run_is_named(set_up: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHON", "/nonexistent/python")
    with pytest.raises(set_up.SetUpError, match=r"^PYTHON=/nonexistent/python does not run"):
        set_up.make_environment()


def test_every_listed_system_package_is_present_here(set_up: ModuleType) -> None:
    set_up.check_system_packages(ROOT / "tools" / "system_packages.txt")


def test_a_second_run_does_nothing() -> None:
    command = [sys.executable, ROOT / "tools" / "set_up.py"]
    first, second = (subprocess.run(command, capture_output=True, text=True, check=False) for _ in range(2))
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert second.stdout.count("\n") == 1, second.stdout
