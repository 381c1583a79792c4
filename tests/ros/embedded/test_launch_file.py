"""Launch files become processes as launch_xml reads them, and mistakes are named with their place."""

import os
import sys
from pathlib import Path

import pytest
import yaml

from k4d_embedded.errors import LaunchArgumentError, LaunchFileError, PackageError, SubstitutionError
from k4d_embedded.launcher.launch_file import declared_arguments, plan_launch

NODE = 'pkg="k4d_embedded" exec="k4d_robot_state_publisher"'


@pytest.fixture
def plan(launches, tmp_path):
    def plan(body, **arguments):
        scratch = tmp_path / "scratch"
        scratch.mkdir(exist_ok=True)
        return plan_launch(launches.write(body), arguments, {"HOME": "/home/x"}, scratch)

    return plan


def words(plan, body, **arguments):
    (only,) = plan(body, **arguments)
    return list(only.command[1:])


def parameters(command):
    files = [command[index + 1] for index, word in enumerate(command) if word == "--params-file"]
    return [yaml.safe_load(Path(file).read_text()) for file in files]


def test_a_node_becomes_its_executable_with_ros_arguments(plan):
    (only,) = plan(
        f"""<node {NODE} name="rsp" namespace="left" args="--a 'b c' $(var x)" ros_args="--log-level debug">
              <remap from="joint_states" to="/arm/joint_states"/>
            </node>""".replace("$(var x)", "$(env HOME)")
    )
    assert only.command == (
        str(Path(sys.prefix) / "bin/k4d_robot_state_publisher"),
        *("--a", "b c", "/home/x"),
        *("--ros-args", "--log-level", "debug", "-r", "__node:=rsp", "-r", "__ns:=/left"),
        *("-r", "joint_states:=/arm/joint_states"),
    )
    assert only.label == "k4d_robot_state_publisher-1"


def test_a_standin_replaces_the_robot_state_publisher_that_is_not_installed(plan):
    (only,) = plan('<node pkg="robot_state_publisher" exec="robot_state_publisher"/>')
    assert only.command[0].endswith("bin/k4d_robot_state_publisher")


@pytest.mark.parametrize(
    ("attributes", "value"),
    [
        ('value="0.5"', 0.5),
        ('value="3"', 3),
        ('value="true"', True),
        ('value="panda"', "panda"),
        ('value=""', ""),
        ('value="[1, 2]"', [1, 2]),
        ('value="3" type="str"', "3"),
        ('value="3" type="float"', 3.0),
        ('value="1" type="bool"', True),
        ('value="[a, b]" type="list_of_str"', ["a", "b"]),
        ('value="&lt;robot name=&quot;x: y&quot;/&gt;" type="str"', '<robot name="x: y"/>'),
    ],
)
def test_parameters_are_typed_by_yaml_unless_told_otherwise(plan, attributes, value):
    (entry,) = parameters(words(plan, f'<node {NODE}><param name="p" {attributes}/></node>'))
    assert entry == {"/**": {"ros__parameters": {"p": value}}}
    assert type(entry["/**"]["ros__parameters"]["p"]) is type(value)


@pytest.mark.parametrize(
    "attributes", ['value="a: b"', 'value="[1, a]"', 'value="x" type="int"', 'value="null"', 'value="{" type="float"']
)
def test_values_that_are_no_parameters_are_named(plan, attributes):
    with pytest.raises(SubstitutionError, match=r'test\.launch\.xml:1: <node>.*type="str"'):
        plan(f'<node {NODE}><param name="p" {attributes}/></node>')


def test_parameters_of_a_fully_named_node_are_addressed_to_it_and_files_are_passed_on(plan, tmp_path):
    file = tmp_path / "own.yaml"
    file.write_text("/**: {ros__parameters: {q: 2}}")
    command = words(
        plan, f'<node {NODE} name="n" namespace="ns"><param from="{file}"/><param name="p" value="1"/></node>'
    )
    assert str(file) in command
    assert parameters(command)[1] == {"/ns/n": {"ros__parameters": {"p": 1}}}


def test_groups_confine_namespaces_configurations_and_environment(plan):
    inner, outer = plan(
        f"""<let name="x" value="outside"/>
            <group>
              <push_ros_namespace namespace="arm"/><push-ros-namespace namespace="left/"/>
              <let name="x" value="inside"/><set_env name="E" value="1"/>
              <node {NODE} args="$(var x)" namespace="tip"/>
            </group>
            <node {NODE} args="$(var x)"/>"""
    )
    assert inner.command[1:] == ("inside", "--ros-args", "-r", "__ns:=/arm/left/tip")
    assert inner.environment["E"] == "1"
    assert outer.command[1:] == ("outside", "--ros-args")
    assert "E" not in outer.environment


def test_a_group_that_is_not_scoped_confines_nothing(plan):
    (only,) = plan(f'<group scoped="false"><let name="x" value="1"/></group><node {NODE} args="$(var x)"/>')
    assert only.command[1] == "1"


def test_an_absolute_namespace_stands_for_itself(plan):
    command = words(plan, f'<push_ros_namespace namespace="arm"/><node {NODE} namespace="/world"/>')
    assert command[-1] == "__ns:=/world"


def test_environment_is_passed_on_with_additions(plan):
    (only,) = plan('<set_env name="A" value="1"/><executable cmd="true"><env name="B" value="$(env A)2"/></executable>')
    assert {name: only.environment[name] for name in ("A", "B", "HOME")} == {"A": "1", "B": "12", "HOME": "/home/x"}
    assert only.environment["PATH"].split(os.pathsep)[0] == str(Path(sys.prefix) / "bin")
    assert only.environment["PYTHONUNBUFFERED"] == "1"


@pytest.mark.parametrize(("value", "is_run"), [("true", True), ("1", True), (" False ", False), ("0", False)])
def test_conditions(plan, value, is_run):
    assert len(plan(f'<executable cmd="true" if="{value}"/>')) == is_run
    assert len(plan(f'<executable cmd="true" unless="{value}"/>')) == (not is_run)


def test_a_condition_that_is_neither_true_nor_false_is_an_error(plan):
    with pytest.raises(SubstitutionError, match=r"true, 1, false, 0, got 'maybe'"):
        plan('<executable cmd="true" if="maybe"/>')


def test_arguments_have_defaults_which_may_use_others(plan):
    body = '<arg name="a" default="1"/><arg name="b" default="$(var a)2"/><executable cmd="echo $(var b)"/>'
    assert words(plan, body) == ["12"]
    assert words(plan, body, a="5") == ["52"]
    assert words(plan, body, b="7") == ["7"]


def test_a_required_argument_that_is_missing_is_named_with_its_description(plan):
    with pytest.raises(LaunchArgumentError, match="'robot' is required: which robot"):
        plan('<arg name="robot" description="which robot"/>')


def test_an_argument_that_nobody_declares_is_named_with_the_closest(plan):
    with pytest.raises(LaunchArgumentError, match="'robt'; did you mean 'robot'"):
        plan('<arg name="robot" default="panda"/>', robt="ur5")


def test_includes_get_arguments_and_know_their_own_folder(plan, launches, tmp_path):
    (tmp_path / "sub").mkdir()
    launches.write('<arg name="x"/><executable cmd="echo $(var x) $(dirname)"/>', "sub/inner.launch.xml")
    inner, outer = plan(
        """<include file="$(dirname)/sub/inner.launch.xml"><arg name="x" value="a b"/></include>
           <executable cmd="echo $(dirname)"/>"""
    )
    assert inner.command == ("echo", "a b", str(tmp_path / "sub"))
    assert outer.command == ("echo", str(tmp_path))


def test_an_argument_may_be_meant_for_a_file_further_down(plan, launches):
    launches.write('<arg name="x"/><executable cmd="echo $(var x)"/>', "deep.launch.xml")
    launches.write('<include file="$(dirname)/deep.launch.xml"/>', "middle.launch.xml")
    include = '<include file="$(dirname)/middle.launch.xml"><arg name="{}" value="1"/></include>'
    assert words(plan, include.format("x")) == ["1"]
    with pytest.raises(LaunchArgumentError, match=r"middle\.launch\.xml does not declare the argument 'xx'"):
        plan(include.format("xx") + '<let name="x" value="1"/>', x="1")


def test_files_that_include_each_other_end_with_an_error(plan):
    with pytest.raises(LaunchFileError, match="include each other"):
        plan('<include file="$(filename)"/>')


def test_a_command_gives_its_output_and_its_failure_is_an_error(plan):
    assert words(plan, "<executable cmd=\"echo $(command 'printf %s-%s a $(var x y)')\"/>") == ["a-y"]
    with pytest.raises(SubstitutionError, match="exit code 3"):
        plan("<executable cmd=\"echo $(command 'sh -c \\'exit 3\\'')\"/>")
    with pytest.raises(SubstitutionError, match="no-such-command"):
        plan('<executable cmd="echo $(command no-such-command)"/>')
    complaining = "<executable cmd=\"echo $(command 'sh -c \\'printf a; echo b &gt;&amp;2\\''{})\"/>"
    with pytest.raises(SubstitutionError, match="wrote to stderr: b"):
        plan(complaining.format(""))
    assert words(plan, complaining.format(" ignore")) == ["a"]


def test_a_command_does_not_go_through_a_shell(plan, tmp_path):
    assert words(plan, "<executable cmd=\"echo $(command 'echo $HOME;ls')\"/>") == ["$HOME;ls\n"]


def test_packages_are_found_in_the_ament_index(plan):
    prefix, share = words(plan, '<executable cmd="echo $(find-pkg-prefix rclpy) $(find-pkg-share rclpy)/x"/>')
    assert (prefix, share) == (sys.prefix, f"{sys.prefix}/share/rclpy/x")
    assert words(plan, '<executable cmd="echo $(exec-in-pkg k4d-launch k4d_embedded)"/>') == [
        f"{sys.prefix}/bin/k4d-launch"
    ]
    with pytest.raises(PackageError, match=r":1: <executable>: package 'rclpi'.*did you mean 'rclpy'"):
        plan('<executable cmd="echo $(find-pkg-share rclpi)"/>')


def test_an_executable_that_a_package_does_not_have_is_named(plan):
    with pytest.raises(PackageError, match=r"no executable 'k4d_robot_state_publishr'.*did you mean"):
        plan('<node pkg="k4d_embedded" exec="k4d_robot_state_publishr"/>')
    with pytest.raises(PackageError, match="no executable 'pytest'"):
        plan('<node pkg="k4d_embedded" exec="pytest"/>')


def test_executables_in_lib_of_the_prefix_come_first(plan, tmp_path, monkeypatch):
    index = tmp_path / "share/ament_index/resource_index/packages/my_robot"
    executable = tmp_path / "lib/my_robot/driver"
    for path in (index, executable):
        path.parent.mkdir(parents=True)
        path.write_text("")
    executable.chmod(0o755)
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"{tmp_path}{os.pathsep}{sys.prefix}")
    (only,) = plan('<node pkg="my_robot" exec="driver"/>')
    assert only.command[0] == str(executable)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("\n<nod/>", r"test\.launch\.xml:2: unknown tag <nod> in <launch>; did you mean 'node'"),
        (f'\n\n<node {NODE} nam="x"/>', r"xml:3: unknown attribute 'nam' of <node>; did you mean 'name'"),
        ('<node exec="x"/>', "<node> needs the attributes pkg"),
        (f'<node {NODE}><param value="1"/></node>', "needs one of name and from"),
        (f'<node {NODE}><param name="a"/></node>', "needs a value"),
        (f'<node {NODE}><param from="/no/such.yaml"/></node>', r"/no/such\.yaml does not exist"),
        (f'<node {NODE}><param name="a" value="1" type="integer"/></node>', "unknown parameter type 'integer'.*int"),
        (f'<node {NODE}><remap from="a"/></node>', "needs the attributes to"),
        (f'<node {NODE} output="scren"/>', "unknown output 'scren'; did you mean 'screen'"),
        (f'<node {NODE} on_exit="restart"/>', "unknown on_exit 'restart'; valid: shutdown"),
        (f'<node {NODE} respawn_delay="soon"/>', "respawn_delay must be of type float, got 'soon'"),
        (f'<node {NODE} respawn_delay="-1"/>', r"must not be negative, got -1\.0"),
        ('<executable cmd="true" if="1" unless="0"/>', "needs one of if and unless"),
        ('<executable cmd=" "/>', "cmd is empty"),
        ('<include file="/no/such.launch.xml"/>', r"cannot read launch file /no/such\.launch\.xml"),
        ("<arg name='x'>text</arg>", "text 'text' outside of attributes"),
        ("<group><let/></group>", "<let> needs the attributes name, value"),
        ("<group>", "not well-formed"),
    ],
)
def test_mistakes_are_named_with_their_place(plan, body, message):
    with pytest.raises(LaunchFileError, match=message):
        plan(body)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("$(var nme)", "'nme' does not exist; did you mean 'name'"),
        ("$(arg name)", r"unknown substitution \$\(arg ...\).*var"),
        ("$(var)", "takes 1 to 2 arguments, got 0"),
        ("$(dirname x)", "takes 0 arguments, got 1"),
        ("$(env NO_SUCH_VARIABLE)", "NO_SUCH_VARIABLE"),
        ("$(var name", r"ends with '\)'"),
        ("$(var 'name)", "quote ' is not closed"),
        ("$(var  name)", "argument is empty"),
        ("$()", "begins with its name"),
        ("'$(var name)'", "No closing quotation"),
    ],
)
def test_mistakes_in_substitutions_are_named(plan, text, message):
    with pytest.raises(SubstitutionError, match=message):
        plan(f'<arg name="name" default="x"/><executable cmd="echo {text}"/>')


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a$(var x)b", ["a1 2b"]),
        ("$(var x) $(var x)", ["1 2", "1 2"]),
        ("'a b' c\\ d", ["a b", "c", "d"]),
        ("\\$(var x)", ["$(var", "x)"]),
        ("$5 $", ["$5", "$"]),
        ("$(env NONE 'a b')", ["a b"]),
        ("$(env NONE $(var x))", ["1 2"]),
        ("$(env NONE '')", [""]),
        ("$(and true 0)$(or true 0)$(not 0)", ["falsetruetrue"]),
    ],
)
def test_command_lines_are_split_into_words_but_substitutions_are_not(plan, text, expected):
    assert words(plan, f'<let name="x" value="1 2"/><executable cmd="echo {text}"/>') == expected


def test_a_document_type_is_refused(launches, tmp_path):
    path = launches.write("")
    path.write_text('<!DOCTYPE launch [<!ENTITY a "b">]><launch><let name="&a;" value="1"/></launch>')
    with pytest.raises(LaunchFileError, match="document types and entities are not allowed"):
        plan_launch(path, {}, {}, tmp_path)


def test_declared_arguments_are_listed_in_order(launches):
    path = launches.write('<arg name="a" default="$(env HOME)"/><group><arg name="c"/></group><arg name="b"/>')
    assert [(argument.name, argument.default) for argument in declared_arguments(path)] == [
        ("a", "$(env HOME)"),
        ("b", None),
        ("c", None),
    ]
