"""A process that speaks as Meta-World's worker does, with rates that are known: argument 1 says how it misbehaves."""

import json
import random
import sys

TASKS = ("dig-v3", "sew-v3")


def main(fault: str) -> None:
    if fault == "no greeting":
        sys.stderr.write("No module named 'metaworld'\n")
        sys.exit(1)
    print(json.dumps({"metaworld": "9.8", "mujoco": "7.6", "tasks": TASKS}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        if fault == "ends":
            sys.stderr.write("Segmentation fault\n")
            sys.exit(3)
        if fault == "silent":
            continue
        if fault:
            print(fault, flush=True)
            continue
        # As likely as 1 - noise for the first task, half of it for the second.
        rate = (1.0 - request["noise"]) / (1 + TASKS.index(request["task"]))
        draw = random.Random(f"{request['task']} {request['noise']} {request['seed']}").random()
        print(json.dumps({"success": draw < rate, "steps": 1 + request["seed"]}), flush=True)


main(" ".join(sys.argv[1:]))
