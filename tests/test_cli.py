"""The command line as users meet it: fast help, one-sentence refusals, exit codes, bars and lines."""

from __future__ import annotations

import itertools
import json
import os
import resource
import shlex
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from ot_latent import cli
from ot_latent._validation import DataError
from ot_latent.cli import command, commands_judge
from ot_latent.cli.console import Console, finite
from ot_latent.cli.table import COMMANDS, overview
from ot_latent.config import ConfigError

HEAVY = ("torch", "sklearn", "ot", "scipy", "accelerate", "matplotlib", "skdim")


def run(*arguments, cwd=None, **environment):
    """Run ``python -m ot_latent`` and return the finished process."""
    return subprocess.run(
        [sys.executable, "-m", "ot_latent", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def refused(process, code, sentence):
    """Assert the exit code, the sentence, and that no traceback was shown."""
    assert process.returncode == code, process.stderr
    assert sentence in " ".join(process.stderr.split()), process.stderr
    assert "Traceback" not in process.stderr
    assert process.stdout == ""


# -- help ------------------------------------------------------------------------------------------


def cpu_seconds(*arguments, limit):
    """Return the processor time of a command; the least of three where the first is too long.

    The first writes compiled modules, which an installation has and a setting may forbid.
    """
    least = float("inf")
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert run(*arguments, PYTHONDONTWRITEBYTECODE="").returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        least = min(least, used)
        if least < limit:
            break
    return least


@pytest.mark.parametrize("arguments", [["--help"], ["--version"]])
def test_help_answers_at_once(arguments):
    assert cpu_seconds(*arguments, limit=0.3) < 0.3


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_helps_within_a_second(name):
    assert cpu_seconds(name, "--help", limit=1.0) < 1.0


@pytest.mark.parametrize(
    ("statement", "unwanted"),
    [
        ("import ot_latent", HEAVY),
        ("from ot_latent import cli; cli.run(['--help'])", (*HEAVY, "tyro", "pydantic", "numpy")),
        (
            "from ot_latent import cli; cli.run(['--version'])",
            (*HEAVY, "tyro", "pydantic", "numpy"),
        ),
        (
            "from ot_latent import cli; from ot_latent.cli.table import COMMANDS; "
            "[cli.run([name, '--help']) for name in COMMANDS]",
            (*HEAVY, "numpy"),
        ),
    ],
)
def test_nothing_heavy_is_loaded(statement, unwanted):
    code = f"import sys; {statement}; print([m for m in {unwanted} if m in sys.modules])"
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert process.stdout.splitlines()[-1] == "[]"


def test_overview_names_every_command(capsys):
    assert cli.run([]) == 0
    out = capsys.readouterr().out
    assert out == overview()
    assert all(f"  {name} " in out and entry.purpose in out for name, entry in COMMANDS.items())


@pytest.mark.parametrize("name", COMMANDS)
def test_help_ends_with_an_example(name, capsys):
    assert cli.run([name, "--help"]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[-1].strip() == f"ot-latent {COMMANDS[name].example}"


def test_a_reader_that_leaves_early_is_no_error():
    code = f"{sys.executable} -m ot_latent train --help | head -n 1"
    process = subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=True)
    assert process.stdout.startswith("usage: ot-latent train")
    assert process.stderr == ""


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    return tmp_path_factory.mktemp("session")


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "demo"])
def test_the_examples_are_one_working_session(name, session, monkeypatch, capsys):
    monkeypatch.chdir(session)
    words = shlex.split(COMMANDS[name].example)
    assert cli.run(words) == 0
    for word, following in itertools.pairwise(words):
        if word in ("--out", "--json"):
            assert (session / following).exists()
    assert capsys.readouterr().out == "" or name == "evaluate"


@pytest.mark.slow
def test_the_demo_takes_under_two_minutes_and_says_where_to_look(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    began = time.process_time()  # wall seconds would depend on who else computes
    assert cli.run([*shlex.split(COMMANDS["demo"].example), "--json"]) == 0
    assert time.process_time() - began < 2 * 120  # of two cores
    captured = capsys.readouterr()
    assert "Look at demo/report.html in a browser." in captured.err
    assert json.loads(captured.out)["report"] == "demo/report.html"
    assert 'id="plane"' in (tmp_path / "demo" / "report.html").read_text(encoding="utf-8")
    assert (tmp_path / "demo" / "samples.png").read_bytes().startswith(b"\x89PNG")
    assert cli.run(["sample", "demo", "-n", "1000", "--out", "x.npz"]) == 0


# -- refusals --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["trian"], "'trian' is not a command; did you mean 'train'?"),
        (["xyzzy"], "'xyzzy' is not a command; see ot-latent --help."),
        (["sample", "r", "--sede", "3"], "--seed INT"),
        (["sample", "r", "-n", "many"], "invalid literal for int() with base 10: 'many'"),
        (["train", "--model", "gan"], "invalid choice 'gan' for argument '--model'"),
        (["train", "--data"], "Missing value for argument '--data'"),
        (["train"], "--out must be given"),
        (["train", "--out", "r"], "train must be given data, got nothing"),
        (["train", "--out", "r", "--resume"], "got nothing, and r holds no run to resume"),
        (["train", "--out", "r", "--data", "a", "--codes", "b"], "got both; leave one out"),
        (
            ["train", "--out", "r", "--data", "digits", "--latent-dim", "0"],
            "autoencoder.latent_dim must be greater than or equal to 1, got 0",
        ),
        (["train", "--out", "r", "--data", "digits", "--lr", "nan"], "must be a finite number"),
        (["train", "--out", "r", "--data", "digits", "--seed", "-1"], "seed must be greater"),
        (["train", "--out", "r", "--config", "no.yaml"], "--config must be a YAML file"),
        (["sample", "nowhere"], "nowhere must be a run folder, got a path without config.yaml"),
        (["info", "nowhere"], "nowhere must be a run folder"),
        (["solve", "nowhere"], "nowhere must be a run folder"),
        (["sample", "nowhere", "--out", "x.jpeg"], "--out must end in .png, .npy, .npz"),
        (["evaluate", "r", "--fail-under", "recall"], "--fail-under must be KEY=VALUE"),
        (["evaluate", "r", "--features", "no.such:thing"], "must be a function pkg.mod:fn"),
        (
            ["evaluate", "r", "--features", "math:pi"],
            "--features must be a function pkg.mod:fn, got 3.14",
        ),
    ],
)
def test_usage_is_refused_in_one_sentence(arguments, sentence, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.run(arguments) == 2
    captured = capsys.readouterr()
    assert sentence in " ".join(captured.err.split())
    assert captured.out == ""
    assert list(tmp_path.iterdir()) == []


def test_a_refusal_shows_no_traceback(tmp_path):
    refused(run("train", "--out", "r", cwd=tmp_path), 2, "train must be given data, got nothing")
    refused(run("trian", cwd=tmp_path), 2, "did you mean 'train'?")


def test_a_typing_error_in_a_config_file_is_named(tmp_path):
    (tmp_path / "c.yaml").write_text("training: {epoch: 3}\ndata: {data: digits}\n")
    process = run("train", "--config", "c.yaml", "--out", "r", cwd=tmp_path)
    refused(process, 2, "training.epoch is not a setting; did you mean 'epochs'?")
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (np.full((20, 5), np.nan), "must be finite"),
        (np.zeros((0, 5)), "must have at least"),
        (np.zeros((1, 5)), "must have at least 2 rows"),
        (np.zeros(20), "must have items along the first axis"),
        (np.array([["a", "b"]] * 9), "must be real numbers"),
        (np.ones((20, 5)), "must"),
        (b"\x93NUMPY garbage", "must be"),
    ],
    ids=["nan", "empty", "one row", "one axis", "text", "constant", "truncated"],
)
def test_bad_data_exit_with_3(content, sentence, tmp_path, monkeypatch, capsys):
    if isinstance(content, bytes):
        (tmp_path / "x.npy").write_bytes(content)
    else:
        np.save(tmp_path / "x.npy", content)
    monkeypatch.chdir(tmp_path)
    assert cli.run(["train", "--data", "x.npy", "--out", "r"]) == 3
    captured = capsys.readouterr()
    assert sentence in captured.err.splitlines()[-1]
    assert captured.out == ""
    assert [path.name for path in tmp_path.iterdir()] == ["x.npy"]


def test_refused_data_are_no_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    codes = np.random.default_rng(0).normal(size=(200, 3))
    np.save("good.npy", codes)
    np.save("bad.npy", np.where(codes > 2, np.nan, codes))
    bad = ["train", "--data", "bad.npy", "--out", "runs/a", "--tolerance", "0.5"]
    refused(run(*bad, cwd=tmp_path), 3, "must be finite")
    assert not (tmp_path / "runs").exists()
    assert cli.run(bad) == 3  # the data are refused again, not the folder
    assert cli.run(["train", "--codes", "good.npy", *bad[3:]]) == 0
    assert cli.run([*bad, "--overwrite"]) == 3
    assert cli.run(["info", "runs/a"]) == 0  # the old run is still there
    assert "OTSampler, 200 codes" in capsys.readouterr().err


@pytest.fixture
def interruptible():
    """Let processes hear Ctrl-C where the shell ignores it, as behind nohup: handlers become defaults."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=["kill -9", "Ctrl-C"])
def test_a_run_stopped_in_its_first_moment_can_be_resumed(number, tmp_path):
    np.save(tmp_path / "codes.npy", np.random.default_rng(0).normal(size=(200, 3)))
    words = ["train", "--codes", "codes.npy", "--out", "r", "--tolerance", "0.5"]
    command = [sys.executable, "-m", "ot_latent", *words]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE)
    while not (tmp_path / "r" / "log.jsonl").exists():
        assert process.poll() is None
        time.sleep(0.001)
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == (-number if number == signal.SIGKILL else 130)
    assert not (tmp_path / "r" / "run.json").exists()
    assert cli.run(["train", "--out", str(tmp_path / "r"), "--resume"]) == 0


def test_missing_data_exit_with_3_and_say_where(tmp_path):
    process = run("train", "--data", "mnist", "--out", "r", cwd=tmp_path, OT_LATENT_DATA="")
    refused(process, 3, "mnist")
    process = run("train", "--data", "digitz", "--out", "r", cwd=tmp_path)
    refused(process, 3, "did you mean 'digits'?")
    assert list(tmp_path.iterdir()) == []


# -- from an exception to a code -------------------------------------------------------------------


def raised(error, module="ot_latent.somewhere"):
    """Raise an error from a frame of a module, and catch it."""
    scope = {"__name__": module, "error": error}
    try:
        exec("raise error", scope)
    except (ValueError, OSError, RuntimeError, ImportError) as caught:
        return caught


def test_exit_codes_follow_the_kind_of_error():
    from ot_latent.latent.training import TrainingError
    from ot_latent.transport.solution import SolverError

    assert command.exit_code(raised(DataError("x"))) == 3
    assert command.exit_code(raised(ConfigError("x"))) == 2
    assert command.exit_code(raised(ValueError("x"))) == 2
    assert command.exit_code(raised(ValueError("x"), "numpy.linalg")) == 1
    assert command.exit_code(raised(ImportError("x", name="pooch"), "elsewhere")) == 2
    assert command.exit_code(raised(ImportError("x", name="ot_latent.x"))) == 1
    with pytest.raises(ValueError, match="broadcast") as slip:
        exec("a + b", {"__name__": "ot_latent.x", "a": np.ones(2), "b": np.ones(3)})
    assert command.exit_code(slip.value) == 1  # numpy said this, no raise statement of ours
    assert command.exit_code(raised(OSError(28, "full"), "shutil")) == 2
    assert command.exit_code(raised(SolverError.__new__(SolverError))) == 4
    assert command.exit_code(raised(TrainingError.__new__(TrainingError))) == 4


def test_an_unexpected_error_keeps_its_traceback(monkeypatch, capsys):
    from ot_latent.cli.commands_judge import Info

    def broken(*_):
        raise np.linalg.LinAlgError("ours")

    monkeypatch.setitem(broken.__globals__, "__name__", "elsewhere")
    monkeypatch.setattr(Info, "execute", broken)
    with pytest.raises(np.linalg.LinAlgError):
        cli.run(["info", "x"])
    capsys.readouterr()


def test_a_full_disk_is_one_sentence(monkeypatch, capsys):
    from ot_latent.cli.commands_judge import Info

    def full(*_):
        raise OSError(28, "No space left on device", "/x/y")

    monkeypatch.setattr(Info, "execute", full)
    assert cli.run(["info", "x"]) == 2
    assert "/x/y: No space left on device; nothing was left half-written" in capsys.readouterr().err


def test_warnings_are_lines(monkeypatch, capsys):
    import warnings

    from ot_latent.cli.commands_judge import Info

    def warned(*_):
        warnings.warn("rows were merged.", UserWarning, stacklevel=1)
        return 0

    monkeypatch.setattr(Info, "execute", warned)
    assert cli.run(["info", "x"]) == 0
    assert capsys.readouterr().err == "ot-latent info: warning: rows were merged.\n"


# -- console ---------------------------------------------------------------------------------------


def test_the_machine_line_is_strict_json(capsys):
    console = Console("x", machine=True)
    console.result({"a": float("nan"), "b": np.float32(0.5), "c": (1, np.arange(2))})
    console.say("for people")
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {"a": None, "b": 0.5, "c": [1, [0, 1]]}
    assert captured.err == "x: for people\n"
    Console("x").result({"a": 1})
    assert capsys.readouterr().out == ""
    assert finite({1: object}) == {"1": "<class 'object'>"}


def test_of_several_processes_only_the_first_speaks(capsys, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    console = Console("x", machine=True)
    console.say("hello")
    console.result({"a": 1})
    console.progress({"stage": "transport", "progress": 0.5})
    assert capsys.readouterr() == ("", "")


def test_bars_are_silent_without_a_terminal(capsys):
    console = Console("x")
    for share in (0.0, 0.5, 1.0):
        console.progress({"stage": "transport", "progress": share, "rms": 0.3, "state": None})
    console.close()
    assert capsys.readouterr() == ("", "")


def test_bars_show_on_a_terminal_after_two_seconds(monkeypatch, capsys):
    from ot_latent.cli import console as module

    monkeypatch.setattr(module, "BAR_DELAY", 0.0)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    console = Console("x")
    console.progress({"stage": "autoencoder", "progress": 0.25, "loss": 0.125})
    console.progress({"stage": "transport", "progress": 0.5, "rms": 0.25})
    console.say("a line between")
    console.close()
    err = capsys.readouterr().err
    assert "training autoencoder" in err
    assert "solving transport" in err
    assert "a line between" in err


# -- gates -----------------------------------------------------------------------------------------

RECORD = {
    "recall": {"value": 0.7},
    "copy_rate": {"value": 0.02},
    "mode_kl": {"value": None},
    "baselines": {"gaussian": {"recall": {"value": 0.4}}},
}


def test_gates():
    assert commands_judge.passes(RECORD, "recall", 0.7, 1)
    assert not commands_judge.passes(RECORD, "recall", 0.71, 1)
    assert commands_judge.passes(RECORD, "copy_rate", 0.05, -1)
    assert not commands_judge.passes(RECORD, "copy_rate", 0.01, -1)
    assert commands_judge.score(RECORD, "baselines.gaussian.recall") == 0.4
    assert not commands_judge.passes({"a": {"value": float("nan")}}, "a", 0.0, 1)
    with pytest.raises(
        ConfigError, match="recal is not a score of the record; did you mean 'recall'"
    ):
        commands_judge.score(RECORD, "recal")
    with pytest.raises(ConfigError, match="mode_kl must be a score with a number, got None"):
        commands_judge.score(RECORD, "mode_kl")


def test_the_table_sets_the_run_beside_its_baselines():
    lines = list(commands_judge.table(RECORD))
    assert lines[0].split() == ["recall", "mode_kl", "copy_rate"]
    assert lines[1].split() == ["this", "run", "0.7", "-", "0.02"]
    assert lines[2].split() == ["gaussian", "0.4", "-", "-"]


def test_a_bare_json_needs_no_file():
    fill = command._bare_json_filled
    assert fill(["r", "--json"]) == ["r", "--json", "-"]
    assert fill(["--json", "--split", "x"]) == ["--json", "-", "--split", "x"]
    assert fill(["--json", "f.json", "r"]) == ["--json", "f.json", "r"]


def test_functions_are_imported_from_the_current_folder(tmp_path, monkeypatch):
    (tmp_path / "my_features.py").write_text("def mean(x):\n    return x.mean(1, keepdims=True)\n")
    monkeypatch.chdir(tmp_path)
    found = commands_judge.function("my_features:mean")
    assert found(np.ones((2, 3))).tolist() == [[1.0], [1.0]]
    sys.modules.pop("my_features")


@pytest.mark.parametrize("asked", [None, "7"])
def test_waiting_threads_spin_shortly_unless_the_user_says_how_long(monkeypatch, capsys, asked):
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):  # set first, so that both are put back
        monkeypatch.setenv(name, "7")
        if asked is None:
            monkeypatch.delenv(name)
    monkeypatch.setattr(sys, "argv", ["ot-latent", "--version"])
    with pytest.raises(SystemExit):
        cli.main()
    expected = ("PASSIVE", "3000") if asked is None else ("7", "7")
    assert (os.environ["OMP_WAIT_POLICY"], os.environ["GOMP_SPINCOUNT"]) == expected
