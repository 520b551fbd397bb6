"""Real processes, as torchrun starts them and as two machines would."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import color_network
import pytest
import torch.distributed as dist
from drawn_coco import write_dataset
from gated_image import PATIENCE, PYTHONPATH, GatedImage

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A network and a dataset."""
    folder = tmp_path_factory.mktemp("files")
    color_network.write_color_network(folder / "x.onnx", color_network.meta())
    write_dataset(folder / "coco")
    return folder


def environment(**more):
    named = {name: str(value) for name, value in more.items()}
    return os.environ | {"PYTHONPATH": PYTHONPATH, "OMP_NUM_THREADS": "1"} | named


def arguments(files, name, *options):
    own = ["eval", files / "x.onnx", "--coco", files / "coco", "--threads", 1, "--interp", 2]
    outputs = ["--interp", 1, "--out", f"{name}.json", "--json", f"{name}_numbers.json"]
    return [str(argument) for argument in [*own, *outputs, *options]]


def torchrun(processes):
    options = ["--nnodes", "1", "--nproc_per_node", str(processes), "--rdzv_backend", "c10d"]
    return [
        *(sys.executable, "-m", "torch.distributed.run", *options),
        *("--rdzv_endpoint", "localhost:0", "-m", "picodet"),
    ]


def outcome(folder, name):
    """Everything but the time that it took."""
    numbers = json.loads((folder / f"{name}_numbers.json").read_text())["runs"]
    for each in numbers:
        del each["seconds"], each["commands"]
    return numbers, [(folder / f"{name}_interp{i}.json").read_bytes() for i in (1, 2)]


@pytest.fixture(scope="module")
def alone(files, tmp_path_factory):
    """What one process finds."""
    folder = tmp_path_factory.mktemp("alone")
    command = [sys.executable, "-m", "picodet", *arguments(files, "alone")]
    subprocess.run(command, cwd=folder, env=environment(), check=True, capture_output=True)
    return outcome(folder, "alone")


@pytest.mark.parametrize("processes", [2, 3])
def test_processes_of_torchrun_give_the_same_bytes(files, tmp_path, alone, processes):
    command = [*torchrun(processes), *arguments(files, "several")]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment(), check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("AP50") == 1  # one of them tells
    assert outcome(tmp_path, "several") == alone
    assert "images" in alone[0][0]


@pytest.fixture
def gated(request, tmp_path):
    """As `files`, with a gate at an image of process 0, or of the one that the test says."""
    name = ("5.png", "2.png")[getattr(request, "param", 0)]
    color_network.write_color_network(tmp_path / "x.onnx", color_network.meta())
    write_dataset(tmp_path / "coco")
    return tmp_path, GatedImage(tmp_path / "coco" / "val2017" / name)


def test_when_one_is_killed_torchrun_ends(gated):
    folder, gate = gated
    command = [*torchrun(2), *arguments(folder, "several")]
    with subprocess.Popen(
        command, cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        try:
            gate.reached(process)
            gate.open()
            gate.reached(process)  # now detecting
            workers = children(process.pid)
            assert len(workers) == 2
            os.kill(workers[1], signal.SIGKILL)
            gate.open()
            process.wait(PATIENCE)
        finally:
            process.kill()
    assert process.returncode != 0
    assert not any(Path("/proc", str(worker)).exists() for worker in workers)
    assert not list(folder.glob("several_interp*"))
    report = folder / "several_numbers.json"  # there is none if torchrun was quicker
    assert not report.exists() or "error" in json.loads(report.read_text())


def children(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


QUICK = """\
import sys
from picodet import distributed
class Quick(distributed._TorchrunGroup):
    def __init__(self, *arguments):
        distributed.HEARTBEAT_TIMEOUT = 10
        super().__init__(*arguments)
distributed._TorchrunGroup = Quick
from picodet.cli import main
main()
"""


@pytest.fixture
def by_hand(gated):
    """Two processes as on two machines, where no torchrun ends the others."""
    folder, gate = gated
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", QUICK, *arguments(folder, "several")],
            cwd=folder,
            env=environment(
                MASTER_ADDR="localhost", MASTER_PORT=port, RANK=rank, WORLD_SIZE=2, LOCAL_RANK=0
            ),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    yield processes, gate, port
    for process in processes:
        process.kill()
        process.communicate()


def test_an_error_in_one_process_is_reported_by_all(by_hand):
    (first, second), gate, _ = by_hand
    gate.reached(first, second)
    gate.open()
    gate.reached(first, second)
    gate.open(b"no image")
    errors = [process.communicate(timeout=PATIENCE)[1] for process in (first, second)]
    assert (first.returncode, second.returncode) == (1, 1)
    assert "Error: " in errors[0]
    assert "5.png: not an image" in " ".join(errors[0].split())
    assert "process 0 of 2 failed: " in errors[1]
    assert "5.png: not an image" in " ".join(errors[1].split())
    assert not any("Traceback" in error for error in errors)


def wait_for_the_one_without_a_gate(port):
    """Until it has detected its share and waits; both waited twice before, after the checks."""
    store = dist.PrefixStore("picodet", dist.TCPStore("localhost", port, is_master=False))
    while store.add("arrived/3", 0) < 1:
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("gated", "killed", "message"),
    [
        (0, 0, "has ended"),  # what they meet at with it
        (0, 1, "has ended"),  # it has finished and waits for the first
        (1, 1, "process 1 of 2 is silent"),  # it is at work
    ],
    indirect=["gated"],
)
def test_a_process_that_waits_for_a_dead_one_ends(by_hand, killed, message):
    processes, gate, port = by_hand
    gate.reached(*processes)
    gate.open()
    gate.reached(*processes)
    wait_for_the_one_without_a_gate(port)
    processes[killed].kill()
    gate.open()
    other = processes[1 - killed]
    _, error = other.communicate(timeout=PATIENCE)
    assert other.returncode == 1
    assert message in " ".join(error.split())
    assert "Traceback" not in error
