"""The recorder's process, replaced by shell scripts: every failure gives one clear error."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from gated_image import PATIENCE

from picodet.alignment.reference.paddle import record_in_paddle
from picodet.alignment.reference.request import RecordRequest
from picodet.errors import Note, PicoDetError, RecordingError
from picodet.paddle_process import python as paddle_python
from picodet.paddle_process.client import MissingPaddleError, PaddleProcess


@pytest.fixture
def carry_out(tmp_path):
    """Runs a script in place of Python and returns the progress it reported."""

    def carry_out(script, reference=Path("model.pdparams")):
        python, steps = tmp_path / "python", []
        python.write_text(f"#!/bin/sh\n{script}\n")
        python.chmod(0o755)
        order = RecordRequest(reference, tmp_path / "o.safetensors", None, None, None, False, 0)
        record_in_paddle(order, python, lambda *step: steps.append(step))
        return steps

    return carry_out


def sends(**header):
    """The shell command that sends a message."""
    return f"echo '{json.dumps({'header': header, 'arrays': []})}'"


def refused(carry_out, *args):
    with pytest.raises(RecordingError) as caught:
        carry_out(*args)
    return str(caught.value)


def test_progress_is_handed_on(carry_out):
    script = f"{sends(done=1, total=2)}; {sends(done=2, total=2)}"
    assert carry_out(script) == [(1, 2), (2, 2)]


def test_what_paddle_prints_is_ignored(carry_out):
    script = f"""
        echo 'I1112 paddle says hello'
        echo '7'
        echo '{{"other": 1}}'
        {sends(other=1)}
        {sends(done="x", total=3)}
        echo '[1, 2'
        printf '\\377\\376\\n'
        echo 'warning' >&2
        {sends(done=5, total=9)}
    """
    assert carry_out(script) == [(5, 9)]


def test_an_error_is_handed_on(carry_out):
    message = "model.pdparams: the tensors of another model"
    assert refused(carry_out, sends(error=message)) == message
    assert refused(carry_out, f"{sends(error=message)}; echo boom >&2; exit 1") == message


def test_an_exit_code_comes_with_the_last_line_of_stderr(carry_out):
    text = refused(carry_out, "echo junk; echo first >&2; echo 'last words' >&2; echo >&2; exit 3")
    assert text.startswith("model.pdparams: the recorder in /")
    assert text.endswith("ended with exit code 3; the last line of its stderr: last words")


def test_its_input_stays_open_until_it_has_ended(carry_out):
    """The real one ends itself when its input is closed, with an exit code that means failure."""
    watch = "exec 3<&0; (read closed <&3; kill -9 $$) >&- &"
    assert carry_out(f"{sends(done=1, total=1)}; {watch} exec >&-; sleep 0.3; kill $!") == [(1, 1)]


def test_silence(carry_out):
    assert refused(carry_out, "exit 3").endswith("code 3; the last line of its stderr: nothing")


def test_a_signal(carry_out):
    assert "ended with exit code -9" in refused(carry_out, "kill -9 $$")


def test_stderr_that_is_not_text(carry_out):
    assert "exit code 1" in refused(carry_out, "printf '\\377\\n' >&2; exit 1")


def test_much_on_standard_error_blocks_nothing(carry_out):
    script = f"head -c 300000 /dev/zero | tr '\\0' 'x' >&2; {sends(done=1, total=1)}"
    assert carry_out(script) == [(1, 1)]


def test_a_python_that_is_not_there(tmp_path):
    order = RecordRequest(Path("m.pdparams"), tmp_path / "o", None, None, None, False, 0)
    for python in (tmp_path / "absent", tmp_path):
        with pytest.raises(PicoDetError, match="cannot be started: "):
            record_in_paddle(order, python, lambda *_: None)


def test_a_missing_package_comes_with_how_to_install_it(carry_out, tmp_path):
    text = refused(carry_out, sends(missing="ppdet"))
    assert "model.pdparams: needs ppdet, which /" in text
    assert "pip install --no-deps paddledet==2.6.0" in text
    assert "--paddle-python" in text
    text = refused(carry_out, sends(missing="paddle"), tmp_path)
    assert "needs paddle, which" in text
    assert "pip install paddlepaddle==3.3.1" in text
    assert "paddledet" not in text


def test_a_python_that_has_no_paddle(tmp_path):
    """The running Python, which loads the package from where it lies."""
    reference = tmp_path / "picodet_s_416_coco.pdparams"
    reference.write_bytes(b"")
    order = RecordRequest(reference, tmp_path / "o.safetensors", None, None, None, False, 0)
    with pytest.raises(RecordingError, match=r"picodet_s_416_coco\.pdparams"):
        record_in_paddle(order, Path(sys.executable), lambda *_: None)


def test_it_gets_the_request_and_one_thread(carry_out, tmp_path):
    log = tmp_path / "log"
    carry_out(f"""exec >{log}
        for argument in "$@"; do last=$argument; done
        echo "$last"
        echo $OMP_NUM_THREADS $MKL_NUM_THREADS $OPENBLAS_NUM_THREADS""")
    order, threads = log.read_text().splitlines()
    assert RecordRequest.from_json(order).reference == Path("model.pdparams")
    assert threads == "1 1 1"


@pytest.fixture(scope="module")
def bare_python(tmp_path_factory):
    """A Python with nothing installed."""
    folder = tmp_path_factory.mktemp("bare")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    return folder / ("Scripts" if os.name == "nt" else "bin") / "python"


def test_without_numpy_the_error_says_how_to_install_it(bare_python, tmp_path, monkeypatch):
    monkeypatch.delenv("PYTHONPATH", raising=False)
    order = RecordRequest(Path("x.pdparams"), tmp_path / "o", None, None, None, False, 0)
    with pytest.raises(
        RecordingError, match=r"x\.pdparams: needs numpy, which .* does not have\..* numpy"
    ):
        record_in_paddle(order, bare_python, lambda *_: None)
    with pytest.raises(MissingPaddleError, match=r"numpy, which .* does not have\..* numpy"):
        PaddleProcess(tmp_path / "model.json", bare_python, 1)


def test_an_old_python_is_named(bare_python, tmp_path, monkeypatch):
    old = "import sys\nsys.version_info = (3, 8, 1)\n"
    monkeypatch.setattr(paddle_python, "BOOTSTRAP", old + paddle_python.BOOTSTRAP)
    order = RecordRequest(Path("x.pdparams"), tmp_path / "o", None, None, None, False, 0)
    with pytest.raises(RecordingError, match=r"is Python 3\.8; 3\.10 or later is expected"):
        record_in_paddle(order, bare_python, lambda *_: None)


def test_a_ppdet_in_the_working_directory_gives_a_note(carry_out, tmp_path, monkeypatch):
    (tmp_path / "ppdet").mkdir()
    (tmp_path / "ppdet" / "__init__.py").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.warns(Note, match="the ppdet in .* is not used"):
        carry_out("true")
    carry_out("true", tmp_path)  # an inference folder needs none


def test_a_recorder_ends_with_a_picodet_that_is_killed(tmp_path):
    """Both hold the pipe that this test reads, which is closed when the last of them ends."""
    (tmp_path / "sleeper.py").write_text("""if True:
        import time
        def main(argument):
            print("recording", flush=True)
            time.sleep(600)
    """)
    script = """if True:
        from pathlib import Path
        import sys
        from picodet.paddle_process.python import start_process
        start_process(Path(sys.executable), "sleeper", "").wait()
    """
    path = os.pathsep.join([*sys.path, str(tmp_path)])
    with subprocess.Popen(
        [sys.executable, "-c", script],
        env=os.environ | {"PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as picodet:
        assert picodet.stdout.readline() == b"recording\n"
        picodet.kill()
        picodet.communicate(timeout=PATIENCE)
