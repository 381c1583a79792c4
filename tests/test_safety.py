"""What no source file may do, since topics are no more trusted than ROS: run text, unpickle, or start a shell."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FILES = [path for path in sorted((ROOT / "ros2_ws").rglob("*.py")) if "build" not in path.parts]
RUNS_TEXT = {"eval", "exec", "compile", "__import__"}
FORBIDDEN = {
    "os.system", "os.popen", "os.spawnl", "subprocess.getoutput", "subprocess.getstatusoutput", "pickle.load",
    "pickle.loads", "yaml.load", "yaml.unsafe_load", "yaml.full_load", "marshal.loads", "shelve.open",
}  # fmt: skip
UNPICKLERS = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}


def faults(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Lines and words of what is forbidden."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names if alias.name in UNPICKLERS)
        elif isinstance(node, ast.ImportFrom) and node.module in UNPICKLERS:
            # An error's name unpickles nothing.
            yield from ((node.lineno, alias.name) for alias in node.names if not alias.name.endswith("Error"))
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            given = {item.arg: ast.unparse(item.value) for item in node.keywords}
            if name in RUNS_TEXT | FORBIDDEN or given.get("shell", "False") != "False":
                yield node.lineno, name
            if given.get("allow_pickle", "False") != "False":
                yield node.lineno, f"{name} with allow_pickle"
            if name == "np.load" and given.get("allow_pickle") != "False":
                yield node.lineno, "np.load without allow_pickle=False"
            if name == "torch.load" and given.get("weights_only") != "True":
                yield node.lineno, "torch.load without weights_only=True"


def test_no_source_runs_text_or_unpickles() -> None:
    assert len(FILES) > 200
    found = [
        f"{path.relative_to(ROOT)}:{line}: {word}"
        for path in FILES
        for line, word in faults(ast.parse(path.read_text()))
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "text",
    ["eval(x)", "import pickle", "from dill import loads", "os.system(x)", "subprocess.run(x, shell=True)",
     "np.load(x, allow_pickle=True)", "np.load(x)", "torch.load(x)", "yaml.load(x)"],
)  # fmt: skip
def test_each_of_them_would_be_found(text: str) -> None:
    assert list(faults(ast.parse(text)))
