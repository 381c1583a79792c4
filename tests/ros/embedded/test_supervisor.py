"""Launched processes end together, with the right exit code, and leave nothing behind."""

import fcntl
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from k4d_embedded.launcher import shared_memory
from k4d_embedded.launcher.process_groups import descendants, living_groups
from k4d_embedded.launcher.shared_memory import mapped_segments, remove_stale

URDF = """<robot name="r"><link name="a"/><link name="b"/>
  <joint name="j" type="fixed"><parent link="a"/><child link="b"/></joint></robot>"""
ESCAPED = URDF.replace("<", "&lt;").replace('"', "&quot;")
NODE = f"""<node pkg="k4d_embedded" exec="k4d_robot_state_publisher" name="rsp">
             <param name="robot_description" type="str" value="{ESCAPED}"/>
           </node>"""
STUBBORN = """
import signal, time
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, signal.SIG_IGN)
print("deaf", flush=True)
time.sleep(600)
"""
IMPATIENT = """
import os, sys, tempfile
from pathlib import Path
from k4d_embedded.launcher.launch_file import plan_launch
from k4d_embedded.launcher.supervisor import Supervisor
plans = plan_launch(Path(sys.argv[1]), {}, os.environ, Path(tempfile.mkdtemp(dir=sys.argv[2])))
sys.exit(Supervisor(plans, lambda line: print(line, flush=True), stage_duration=0.4).run())
"""


def python(code):
    """An <executable> that runs Python code, which passes through XML and quoting as hex digits."""
    command = f"{sys.executable} -c &quot;exec(bytes.fromhex('{code.encode().hex()}'))&quot;"
    return f'<executable name="python" cmd="{command}"/>'


def read_until(process, *texts):
    """Read a launch's output until every text has appeared; returns what was read."""
    seen = ""
    while not all(text in seen for text in texts):
        line = process.stdout.readline()
        assert line, f"ended before {texts}: {seen}"
        seen += line
    return seen


def child_pids(output):
    return [int(pid) for pid in re.findall(r"process started with pid \[(\d+)\]", output)]


def wait_until(is_done, limit=20.0):
    end = time.monotonic() + limit
    while not is_done() and time.monotonic() < end:
        time.sleep(0.02)
    return is_done()


def segments_of_all_but(pids):
    return mapped_segments(int(entry) for entry in os.listdir("/proc") if entry.isdigit() and int(entry) not in pids)


def segments_that_must_go(pids):
    """The segments that only these processes have mapped; waits until each process has some."""
    assert wait_until(lambda: all(mapped_segments([pid]) for pid in pids))
    return mapped_segments(pids) - segments_of_all_but(pids)


def left_of(segments):
    """Files of these segments that are there and that nobody uses: other processes take ports that have become free."""
    unused = segments - segments_of_all_but([])
    same = [name for name, inode in unused if shared_memory._inode(name) in (inode, None)]
    files = [file for name in same for file in (name, f"{name}_el", f"sem.{name}_mutex")]
    return [file for file in files if Path("/dev/shm", file).exists()]


def test_output_is_prefixed_and_a_clean_end_is_zero(launches):
    code, output = launches.run(launches.write('<executable cmd="seq 2"/><executable cmd="echo c"/>'))
    assert code == 0
    lines = output.splitlines()
    assert {"[seq-1] 1", "[seq-1] 2", "[echo-2] c"} <= set(lines)


def test_a_child_that_dies_takes_the_launch_down_with_its_code_and_name(launches):
    code, output = launches.run(launches.write('<executable cmd="sleep 600"/><executable cmd="sh -c \'exit 7\'"/>'))
    assert code == 7
    assert "[ERROR] [sh-2]: process has died" in output
    assert "sh-2 died with exit code 7: stopping all processes" in output
    assert not living_groups(child_pids(output))


def test_a_child_that_is_killed_counts_as_a_shell_counts(launches):
    code, output = launches.run(launches.write("<executable cmd=\"sh -c 'kill -9 $$'\"/>"))
    assert code == 128 + 9
    assert "sh-1 died with exit code 137" in output


def test_an_executable_that_cannot_be_started_is_named(launches):
    code, output = launches.run(launches.write('<executable cmd="sleep 600"/><executable cmd="no-such-program"/>'))
    assert code == 127
    assert "[ERROR] [no-such-program-2]: cannot start no-such-program: No such file or directory" in output
    assert not living_groups(child_pids(output))


def test_the_end_of_a_required_child_is_the_end_of_the_launch(launches):
    code, output = launches.run(
        launches.write('<executable cmd="sleep 600"/><executable cmd="true" on_exit="shutdown"/>')
    )
    assert code == 0
    assert "true-2 was required and has finished" in output
    assert not living_groups(child_pids(output))


def test_a_child_is_started_again_as_often_as_asked(launches):
    body = '<executable cmd="sh -c \'echo run; exit 5\'" respawn="true" respawn_max_retries="2"/>'
    code, output = launches.run(launches.write(body))
    assert code == 5
    assert output.count("[sh-1] run") == 3


def test_what_a_dead_child_started_is_not_left(launches):
    code, output = launches.run(launches.write("<executable cmd=\"sh -c 'sleep 600 &amp; echo left $!'\"/>"))
    assert code == 0
    left = int(re.search(r"left (\d+)", output)[1])
    assert wait_until(lambda: not Path(f"/proc/{left}").exists() or "Z" in Path(f"/proc/{left}/stat").read_text())


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_leaves_no_process_and_no_shared_memory(launches, number, code):
    process = launches.start(launches.write(NODE + NODE.replace('"rsp"', '"rsp_2"')))
    pids = child_pids(read_until(process, "-1] [INFO]", "-2] [INFO]"))
    segments = segments_that_must_go(pids)
    assert len(segments) >= 2
    process.send_signal(number)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == code
    assert output.count("finished cleanly") == 2
    assert not living_groups(pids)
    assert wait_until(lambda: not left_of(segments)), left_of(segments)


def test_a_killed_child_leaves_no_shared_memory(launches):
    process = launches.start(launches.write(NODE + NODE.replace('"rsp"', '"rsp_2"')))
    pids = child_pids(read_until(process, "-1] [INFO]", "-2] [INFO]"))
    segments = segments_that_must_go(pids)
    time.sleep(2.0)  # the launcher looks at its children's segments twice per second
    os.kill(pids[0], signal.SIGKILL)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 137
    assert "k4d_robot_state_publisher-1 died with exit code 137" in output
    assert not living_groups(pids)
    assert wait_until(lambda: not left_of(segments)), left_of(segments)


def test_children_that_do_not_listen_are_killed(launches, tmp_path):
    path = launches.write(python(STUBBORN))
    process = subprocess.Popen(
        [sys.executable, "-c", IMPATIENT, str(path), str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    pids = child_pids(read_until(process, "deaf"))
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "SIGINT was not enough, sending SIGTERM" in output
    assert "SIGTERM was not enough, sending SIGKILL" in output
    assert not living_groups(pids)


def test_nothing_outlives_a_launcher_that_is_killed(launches, tmp_path):
    path = launches.write(python(STUBBORN) + NODE)
    process = subprocess.Popen(
        [sys.executable, "-c", IMPATIENT, str(path), str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    pids = child_pids(read_until(process, "deaf", "-2] [INFO]"))
    segments = segments_that_must_go(pids[1:])
    time.sleep(2.0)  # the launcher looks at its children's segments twice per second
    process.kill()
    process.wait()
    assert wait_until(lambda: not living_groups(pids))
    assert wait_until(lambda: not left_of(segments)), left_of(segments)
    process.stdout.close()


def test_a_grandchild_is_known():
    with subprocess.Popen(["sh", "-c", "sleep 600 & echo $!; wait"], stdout=subprocess.PIPE, text=True) as process:
        grandchild = int(process.stdout.readline())
        assert set(descendants(process.pid)) == {process.pid, grandchild}
        os.kill(grandchild, signal.SIGTERM)
        process.wait()


def test_segments_in_use_replaced_or_locked_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(shared_memory, "FOLDER", str(tmp_path))
    inodes = {}
    for name in ("fastdds_gone", "fastdds_replaced", "fastdds_locked", "fastdds_mapped"):
        for file in (name, f"{name}_el", f"sem.{name}_mutex"):
            (tmp_path / file).write_text("x")
        inodes[name] = (tmp_path / name).stat().st_ino
    inodes["fastdds_replaced"] += 100000
    monkeypatch.setattr(shared_memory, "mapped_segments", lambda pids: {("fastdds_mapped", inodes["fastdds_mapped"])})
    with (tmp_path / "fastdds_locked_el").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        assert remove_stale(set(inodes.items())) == ["fastdds_gone"]
    kept = {path.name for path in tmp_path.iterdir() if not re.search("_el|_mutex", path.name)}
    assert kept == {"fastdds_replaced", "fastdds_locked", "fastdds_mapped"}
    assert not (tmp_path / "fastdds_gone_el").exists()
    assert not (tmp_path / "sem.fastdds_gone_mutex").exists()


def test_the_command_line_finds_files_in_packages_and_lists_arguments(launches, tmp_path):
    share = tmp_path / "share/demo_pkg/launch"
    index = tmp_path / "share/ament_index/resource_index/packages"
    share.mkdir(parents=True)
    index.mkdir(parents=True)
    (index / "demo_pkg").write_text("")
    launches.write('<arg name="who" default="me" description="whom"/><executable cmd="echo $(var who)"/>').rename(
        share / "demo.launch.xml"
    )
    os.environ["AMENT_PREFIX_PATH"] = f"{tmp_path}{os.pathsep}{sys.prefix}"
    try:
        code, output = launches.run("demo_pkg", "demo.launch.xml", "who:=you")
        assert (code, "[echo-1] you" in output) == (0, True)
        code, output = launches.run("demo_pkg", "demo.launch.xml", "--show-args")
        assert code == 0
        assert "'who':\n        whom\n        (default: 'me')" in output
    finally:
        os.environ["AMENT_PREFIX_PATH"] = sys.prefix


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["no-such.launch.xml"], "cannot read launch file"),
        (["rclpy", "no-such.launch.xml"], "must hold no-such.launch.xml once"),
        (["a", "b", "c"], "give FILE.launch.xml"),
        (["x.launch.xml", ":=1"], "name:=value, got ':=1'"),
    ],
)
def test_mistakes_on_the_command_line_end_with_two(launches, words, message):
    code, output = launches.run(*words)
    assert code == 2
    assert message in output
