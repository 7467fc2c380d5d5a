"""Set-up: a real .venv from a folder of wheels, its repair, and what stands in for the network."""

import ast
import json
import os
import re
import signal
import subprocess
import sys
import sysconfig
import threading
import tomllib
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import metadata
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies
from jupyter_client import KernelManager
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from course_lib import __main__, commands, environment, installer
from course_lib.settings import ROOT, CourseError
from tests.running_lab import wait_until

BOOTSTRAP = ("__init__", "__main__", "commands", "doctor", "environment", "installer", "settings")
REPORT = """\
import json, os, sys
import stub, course_lib
def main(argv):
    facts = dict(argv=argv, prefix=sys.prefix, cwd=os.getcwd(), library=course_lib.__file__,
                 stub=stub.__version__, path=os.environ["PYTHONPATH"])
    print(json.dumps(facts))
    return 7
"""
PROVIDED = {  # module that is imported -> package, where the names differ
    "IPython": "ipykernel",
    "PIL": "pillow",
    "jupyter_client": "nbclient",
    "packaging": "pytest",
    "requests": "pooch",
    "skimage": "scikit-image",
    "traitlets": "ipywidgets",
    "yaml": "PyYAML",
}


def write_wheel(folder: Path, version: str):
    """Write the wheel of a package `stub` with one module."""
    facts = f"stub-{version}.dist-info"
    files = {
        "stub.py": f"__version__ = {version!r}\n",
        f"{facts}/METADATA": f"Metadata-Version: 2.1\nName: stub\nVersion: {version}\n",
        f"{facts}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},,\n" for name in [*files, f"{facts}/RECORD"])
    with zipfile.ZipFile(folder / f"stub-{version}-py3-none-any.whl", "w") as wheel:
        for name, text in {**files, f"{facts}/RECORD": record}.items():
            wheel.writestr(name, text)


def write_pins(root: Path, pin: str):
    text = f"dependencies:\n  - pip:\n    - {pin}\n"
    (root / "environment.yml").write_text(text, encoding="utf-8")


@pytest.fixture
def stub_course(tmp_path):
    """A course that needs one tiny package, in a path with a space and an umlaut."""
    root = tmp_path / "mein Kürs"
    (root / "course_lib").mkdir(parents=True)
    for name in BOOTSTRAP:
        text = (ROOT / "course_lib" / f"{name}.py").read_text(encoding="utf-8")
        (root / "course_lib" / f"{name}.py").write_text(text, encoding="utf-8")
    (root / "course_lib" / "bench.py").write_text(REPORT, encoding="utf-8")
    (root / "pyproject.toml").write_text(
        '[project]\ndependencies = ["stub>=1.0,<2"]\n', encoding="utf-8"
    )
    write_pins(root, "stub==1.0")
    (root / "wheels").mkdir()
    for version in ("1.0", "1.5"):
        write_wheel(root / "wheels", version)
    return root


def stub_variables(root: Path) -> dict[str, str]:
    """Return the variables for the stub course: pip looks into its folder of wheels alone."""
    ours = ("PIP_", "COURSE_", "PYTHON")
    environ = {name: text for name, text in os.environ.items() if not name.startswith(ours)}
    environ |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": (root / "wheels").as_uri()}
    return environ | {"PIP_CONFIG_FILE": os.devnull}


def start_stub(root: Path, *argv: str, **variables: str) -> subprocess.Popen:
    """Start a command of the stub course with this Python's base, in another folder."""
    away = root.parent / "elsewhere"
    away.mkdir(exist_ok=True)
    base = getattr(sys, "_base_executable", sys.executable)
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "encoding": "utf-8"}
    environ = stub_variables(root) | variables
    command = [base, str(root / "course_lib"), *argv]
    return subprocess.Popen(command, cwd=away, env=environ, start_new_session=True, **streams)


def run_stub(root: Path, *argv: str, **variables: str) -> subprocess.CompletedProcess:
    """Run a command of the stub course to its end."""
    with start_stub(root, *argv, **variables) as process:
        out, err = process.communicate()
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def test_a_bare_python_sets_up_uses_and_repairs_the_environment(stub_course):
    root = stub_course
    first = run_stub(root, "bench", "--data", "strokes")
    assert first.returncode == 7, first.stderr
    facts = json.loads(first.stdout)
    assert facts["argv"] == ["--data", "strokes"]
    assert Path(facts["prefix"]) == root / ".venv"
    assert Path(facts["cwd"]) == root.parent / "elsewhere"
    assert Path(facts["library"]) == root / "course_lib" / "__init__.py"
    assert facts["path"].split(os.pathsep)[0] == str(root)
    assert "there is none yet" in first.stderr
    link = next((root / ".venv").rglob("course_lib.pth")).read_text(encoding="utf-8")
    assert ascii(str(root)) in link

    before = os.times()
    second = run_stub(root, "bench")
    assert second.returncode == 7 and second.stderr == ""
    assert os.times().children_user - before.children_user < 2  # seconds, of the processor

    write_pins(root, "stub==1.5")
    assert json.loads(run_stub(root, "bench").stdout)["stub"] == "1.5"

    write_pins(root, "stub==1.9")
    failed = run_stub(root, "bench")
    assert failed.returncode == 1 and failed.stdout == "" and "Traceback" not in failed.stderr
    sentence = failed.stderr.strip().splitlines()[-1]
    assert "stub==1.9" in sentence and "PIP_" in sentence
    assert not (root / ".venv" / "pins.txt").exists()

    write_pins(root, "stub==1.5")
    (root / ".venv" / "left behind").touch()
    again = run_stub(root, "bench")
    assert again.returncode == 7 and "cut short" in again.stderr
    assert not (root / ".venv" / "left behind").exists()
    assert (root / ".venv" / "pins.txt").exists()


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty COURSE_HOME."""
    monkeypatch.setenv("COURSE_HOME", str(tmp_path))
    return tmp_path


def fake_environment():
    """Lay out of what the set-up leaves behind as much as a defect is seen by."""
    environment.python().parent.mkdir(parents=True)
    environment.python().touch()
    environment.record().write_text("\n".join(environment.contents()), encoding="utf-8")


def test_a_whole_environment_has_no_defect(home):
    assert environment.defect() == "there is none yet"
    fake_environment()
    assert environment.defect() == ""


def dangling(path: Path):
    path.unlink()
    path.symlink_to(path.parent / "gone")


def other_python():
    text = environment.record().read_text(encoding="utf-8")
    environment.record().write_text(text.replace(environment.THIS_PYTHON, "3.10", 1))


@pytest.mark.parametrize(
    "spoil, words, again",
    [
        (lambda: environment.record().unlink(), "cut short", True),
        (lambda: environment.record().write_text(""), "broken", True),
        (lambda: environment.python().unlink(), "broken", True),
        (lambda: dangling(environment.python()), "broken", True),
        (other_python, "not of Python", True),
        (lambda: environment.record().open("a").write("\nmore==1.0"), "pinned versions", False),
    ],
)
def test_each_defect_is_seen_and_all_but_other_pins_mean_a_new_start(home, spoil, words, again):
    fake_environment()
    spoil()
    assert words in environment.defect()
    assert environment.is_usable() != again


def test_a_package_that_was_taken_out_gets_one_sentence(home, monkeypatch):
    fake_environment()
    monkeypatch.setattr(sys, "prefix", str(environment.folder()))
    monkeypatch.setattr(environment, "unmet", lambda: ["numpy>=2 (missing)"])
    monkeypatch.setattr(environment, "replace", lambda *_: pytest.fail("an endless loop"))
    with pytest.raises(CourseError, match="numpy.*delete it"):
        environment.enter(["test"])


def test_ctrl_c_leaves_no_record(home, monkeypatch, capfd):
    fake_environment()

    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr(installer, "_install", interrupted)
    with pytest.raises(KeyboardInterrupt):  # which the command turns into "Stopped."
        installer.set_up("there is none yet", ["torch>=2.6"])
    assert "lacks torch>=2.6" in capfd.readouterr().err.splitlines()[0]
    assert "cut short" in environment.defect()


def test_too_little_disk_is_said_before_anything_is_made(home, monkeypatch):
    usage = type("usage", (), {"free": 10**8})
    monkeypatch.setattr(installer.shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(CourseError, match="GB of disk"):
        installer.set_up("", [])
    assert not environment.folder().exists()


def test_a_python_without_ensurepip_gets_one_sentence(home, monkeypatch):
    monkeypatch.setattr(installer.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(CourseError, match="python3-venv"):
        installer.set_up("", [])


def test_a_home_that_is_a_file_gets_one_sentence(home, monkeypatch):
    (home / "file").touch()
    monkeypatch.setenv("COURSE_HOME", str(home / "file"))
    with pytest.raises(CourseError, match="COURSE_HOME"):
        installer.set_up("", [])


@pytest.mark.parametrize(
    "said, words",
    [
        ("WARNING: Retrying after connection broken\nERROR: No matching distribution", "network"),
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left", "disk"),
        ("ERROR: No matching distribution found for torch==2.13.0", environment.THIS_PYTHON),
        ("", "again"),
    ],
)
def test_pip_failures_are_explained(said, words):
    sentence = installer.explain(said)
    assert words in sentence and "\n" not in sentence


@pytest.fixture
def index(monkeypatch):
    """A package index on this computer; `.seconds` is how long it takes to answer."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            server.asked.append(self.path)
            server.wake.wait(server.seconds)
            self.send_response(200 if self.path == "/whl/cpu/torch/" else 404)
            self.end_headers()

        def log_message(self, *words):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.seconds, server.asked, server.wake = 0, [], threading.Event()
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    server.url = f"http://127.0.0.1:{server.server_port}/whl/cpu"
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    lines = [f"--extra-index-url {server.url}", "torch==2.13.0", "-e ."]
    monkeypatch.setattr(environment, "pip_section", lambda: lines)
    monkeypatch.setattr(installer, "has_nvidia", lambda: False)
    monkeypatch.setattr(sys, "platform", "linux")
    yield server
    server.wake.set()
    server.shutdown()
    server.server_close()


@pytest.mark.skipif(os.name == "nt", reason="cannot press Ctrl-C for one group of processes")
@pytest.mark.parametrize("stage", ["venv", "pip"])
def test_a_real_ctrl_c_ends_the_set_up_with_a_line(stub_course, index, stage):
    index.seconds = 60
    process = start_stub(stub_course, "bench", PIP_NO_INDEX="0", PIP_INDEX_URL=index.url)
    made = stub_course / ".venv" / "pyvenv.cfg"
    wait_until({"venv": made.exists, "pip": lambda: index.asked}[stage], f"{stage} to begin")
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=30)  # the pipes' end: pip has ended, too
    assert process.returncode == 130 and out == "" and "Traceback" not in err
    assert "stopped" in err.splitlines()[-1].lower()
    assert not (stub_course / ".venv" / "pins.txt").exists()


def test_pytorchs_index_is_used_where_it_answers(index):
    assert installer.extra_index("global.extra-index-url='x'") == ["--extra-index-url", index.url]
    assert index.asked == ["/whl/cpu/torch/"]


def test_an_index_that_refuses_is_dropped(index, monkeypatch):
    monkeypatch.setattr(environment, "pip_section", lambda: [f"--extra-index-url {index.url}x"])
    assert installer.extra_index("") == []
    assert index.asked


def test_an_index_that_is_too_slow_is_dropped(index):
    index.seconds = 20
    assert not installer.answers(f"{index.url}/torch/", seconds=0.1)
    assert index.asked


@pytest.mark.parametrize(
    "config",
    [":env:.no-index='1'", "global.no-index='true'", "global.index-url='https://my/simple'"],
)
def test_pips_own_settings_win(index, config):
    assert installer.extra_index(f"global.timeout='5'\n{config}\n") == []
    assert not index.asked


def test_a_gpu_or_another_system_gets_the_default_torch(index, monkeypatch):
    monkeypatch.setattr(installer, "has_nvidia", lambda: True)
    assert installer.extra_index("") == []
    monkeypatch.setattr(installer, "has_nvidia", lambda: False)
    monkeypatch.setattr(sys, "platform", "darwin")
    assert installer.extra_index("") == []
    assert not index.asked


# Editors


def kernel_of(python: Path, cwd: Path, env: dict[str, str]):
    """Return a kernel of a Python, started as an editor does: in the notebook's folder."""
    argv = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]

    class OneKernel(KernelSpecManager):
        def get_kernel_spec(self, name):
            return KernelSpec(argv=argv, display_name=name, language="python")

    manager = KernelManager(kernel_spec_manager=OneKernel())
    manager.start_kernel(cwd=str(cwd), env=env)
    return manager


def test_the_kernel_of_an_editor_finds_the_course(stub_course):
    assert run_stub(stub_course, "bench").returncode == 7
    (site,) = (stub_course / ".venv").rglob("site-packages")
    ours = [sysconfig.get_path(kind) for kind in ("purelib", "platlib")]  # where ipykernel lies
    (site / "ours.pth").write_text("\n".join(ours), encoding="utf-8")
    name = "Scripts/python.exe" if os.name == "nt" else "bin/python"
    work = stub_course / "work"
    work.mkdir()
    manager = kernel_of(stub_course / ".venv" / name, work, stub_variables(stub_course))
    client = manager.blocking_client()
    try:
        client.start_channels()
        client.wait_for_ready(timeout=60)
        where = {"file": "course_lib.__file__"}
        reply = client.execute_interactive("import course_lib", user_expressions=where, timeout=60)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    found = ast.literal_eval(reply["content"]["user_expressions"]["file"]["data"]["text/plain"])
    assert Path(found) == stub_course / "course_lib" / "__init__.py"


# The two lists


def declared(extra: bool = True) -> dict[str, SpecifierSet]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    optional = project["optional-dependencies"]["dev"] if extra else []
    found = [Requirement(line) for line in [*project["dependencies"], *optional]]
    return {canonicalize_name(r.name): r.specifier for r in found}


def test_environment_yml_is_what_conda_and_the_bootstrap_read():
    yaml = pytest.importorskip("yaml")
    whole = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    *conda, pip = whole["dependencies"]
    assert pip == {"pip": environment.pip_section()}
    assert "-e ." in pip["pip"]
    assert {name.partition("=")[0] for name in conda} == {"python", "pip"}
    assert all(re.fullmatch(r"[a-z][a-z0-9_.-]*(=\d+(\.\d+)*)?", spec) for spec in conda)


def test_pins_and_ranges_name_the_same_packages_and_agree():
    pins = {canonicalize_name(Requirement(p).name): p.split("==")[1] for p in environment.pins()}
    assert pins.keys() == declared().keys()
    assert {name: v for name, v in pins.items() if v not in declared()[name]} == {}


def test_python_bounds_agree():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    range_ = SpecifierSet(project["requires-python"])
    inside = [minor for minor in range(5, 30) if f"3.{minor}" in range_]
    assert ((3, inside[0]), (3, inside[-1])) == (__main__.OLDEST, __main__.NEWEST)


def test_every_import_is_declared():
    own = {"course_lib", "tests"}
    folders = [ROOT / "course_lib", ROOT / "tests", ROOT / "notebooks" / "src"]
    undeclared = {}
    for path in (path for folder in folders for path in folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module]
            for top in {name.partition(".")[0] for name in names} - own - sys.stdlib_module_names:
                if canonicalize_name(PROVIDED.get(top, top)) not in declared():
                    undeclared.setdefault(top, path.name)
    assert undeclared == {}


@pytest.mark.parametrize("module, package", PROVIDED.items())
def test_modules_come_with_the_package_named_for_them(module, package):
    owners = {canonicalize_name(name) for name in metadata.packages_distributions()[module]}
    brought = {canonicalize_name(package)}
    for line in metadata.requires(package) or []:
        brought.add(canonicalize_name(Requirement(line).name))
    assert owners & brought


# Ranges


numbers = strategies.lists(strategies.integers(0, 2), min_size=1, max_size=3)


@settings(derandomize=True, deadline=None, max_examples=200)
@given(numbers, numbers, numbers, strategies.sampled_from(["", "+cpu", ".post1"]))
def test_ranges_are_understood_as_pip_does(low, high, version, suffix):
    low, high, version = (".".join(map(str, parts)) for parts in (low, high, version))
    versions = f">={low},<{high}"
    assert environment.allows(versions, version + suffix) == (version in SpecifierSet(versions))


def test_unmet_names_what_is_missing_or_too_old(monkeypatch):
    wanted = {"torch": ">=2.6,<3", "numpy": ">=2.0,<3", "nothing-like-it": ">=1"}
    versions = {"torch": "2.5.1+cu124", "numpy": "2.4.6"}
    monkeypatch.setattr(environment, "requirements", lambda: wanted)
    monkeypatch.setattr(environment, "installed", versions.get)
    unmet = environment.unmet()
    assert unmet == ["torch>=2.6,<3 (2.5.1+cu124)", "nothing-like-it>=1 (missing)"]


def test_this_environment_is_used_as_it_is(monkeypatch, home):
    monkeypatch.setattr(environment, "replace", lambda *_: pytest.fail("went elsewhere"))
    environment.enter(["test"])
    assert not environment.folder().exists()


# The commands


def test_old_pythons_get_one_sentence():
    code = "import sys; sys.version_info = (3, 8, 1, 'final', 0); sys.argv = ['x', 'lab']; "
    code += "import runpy; runpy.run_module('course_lib', run_name='__main__')"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 1 and run.stdout == ""
    assert len(run.stderr.splitlines()) == 1 and "3.8" in run.stderr


@pytest.mark.parametrize("name", ["__init__", "__main__", "environment", "installer", "settings"])
def test_old_pythons_can_read_the_files(name):
    text = (ROOT / "course_lib" / f"{name}.py").read_text(encoding="utf-8")
    ast.parse(text, feature_version=(3, 8))


def test_help_needs_no_packages_and_names_every_command(capsys):
    assert __main__.main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(re.search(rf"^  {name} ", text, re.MULTILINE) for name in __main__.COMMANDS)


@pytest.mark.parametrize("command", __main__.COMMANDS)
def test_every_command_explains_itself(command, capsys):
    with pytest.raises(SystemExit) as end:
        __main__.main([command, "--help"])
    assert end.value.code == 0
    assert re.match(rf"usage: .*course_lib {command} ", capsys.readouterr().out)


def test_an_unknown_command_is_named(capsys):
    assert __main__.main(["labb"]) == 2
    assert "labb" in capsys.readouterr().out


@pytest.fixture
def jupyter(monkeypatch, tmp_path, home):
    """What `lab` would start: .command, .folder."""
    started = type("started", (), {})
    monkeypatch.setattr(environment, "enter", lambda argv: None)
    monkeypatch.setattr(
        environment, "replace", lambda command, folder: vars_into(started, command, folder)
    )

    def prepare_work(route):
        started.route = route
        return tmp_path

    monkeypatch.setattr("course_lib.lessons.prepare_work", prepare_work)
    monkeypatch.delenv("JUPYTERHUB_USER", raising=False)
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", "mine")
    return started


def vars_into(started, command, folder):
    started.command, started.folder = command, folder


def test_lab_serves_this_computer_alone_and_opens_the_first_lesson(jupyter, tmp_path, capsys):
    for name in ("14_cnn.ipynb", "00_start.ipynb"):
        (tmp_path / name).touch()
    commands.lab(["--no-browser", "--", "--debug"])
    assert "--ip=127.0.0.1" in jupyter.command
    assert "--LabApp.default_url=/lab/tree/00_start.ipynb" in jupyter.command
    assert jupyter.command[-1] == "--debug" and "--" not in jupyter.command
    assert "--no-browser" in jupyter.command
    assert not any("token" in word or "password" in word for word in jupyter.command)
    assert os.environ["JUPYTER_CONFIG_PATH"].split(os.pathsep)[-1] == "mine"
    assert jupyter.folder == tmp_path


def test_lab_switches_the_popups_off_without_touching_the_users_settings(jupyter, monkeypatch):
    settings_utils = pytest.importorskip("jupyterlab_server.settings_utils")
    commands.lab([])
    overrides, error = settings_utils._get_overrides("nowhere")
    assert not error
    assert overrides["@jupyterlab/apputils-extension:notification"]["fetchNews"] == "false"


def test_jupyterlab_passes_over_a_port_in_use_unless_it_was_asked_for(jupyter):
    commands.lab([])
    assert f"--port={commands.FIRST_PORT}" in jupyter.command
    assert not any("port_retries" in word for word in jupyter.command)  # it tries 50 more
    commands.lab(["--port", "9999"])
    assert {"--port=9999", "--ServerApp.port_retries=0"} <= set(jupyter.command)


def test_on_a_hub_lab_only_says_where_the_lessons_are(jupyter, monkeypatch, capsys):
    monkeypatch.setenv("JUPYTERHUB_USER", "ada")
    assert commands.lab([]) == 0
    assert not hasattr(jupyter, "command") and "hub" in capsys.readouterr().out


def test_lab_knows_the_routes_of_the_lessons(jupyter):
    from course_lib import editions

    for route in editions.ROUTES:
        commands.lab(["--route", route])
        assert jupyter.route == route


@pytest.fixture
def pytest_run(monkeypatch, home):
    """What `test` would hand to pytest; `.status` is what pytest says."""
    run = type("run", (), {"status": 0})

    def main(arguments):
        run.arguments = arguments
        return run.status

    monkeypatch.setattr(environment, "enter", lambda argv: None)
    monkeypatch.setattr(pytest, "main", main)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(os, "chdir", lambda folder: None)
    monkeypatch.delenv("HYPOTHESIS_STORAGE_DIRECTORY", raising=False)
    return run


def test_test_runs_everything_in_the_smoke_profile(pytest_run, home, monkeypatch):
    monkeypatch.setenv("COURSE_PROFILE", "full")
    assert commands.test([]) == 0
    words = " ".join(pytest_run.arguments)
    assert "--nbval-lax --nbval-current-env --nbval-cell-timeout=300 --profile smoke" in words
    assert "notebooks tests" in words
    assert f"cache_dir={home / '.cache' / 'pytest'}" in words


def test_test_can_be_narrowed(pytest_run):
    here = "tests/test_environment.py::test_test_can_be_narrowed"
    commands.test([here, "-k", "narrowed", "--device", "cpu"])
    assert str(ROOT / "tests" / "test_environment.py") + "::test_test_can_be_narrowed" in (
        pytest_run.arguments
    )
    assert "notebooks" not in pytest_run.arguments
    commands.test(["tests/no_such.py"])
    assert "tests/no_such.py" in pytest_run.arguments  # pytest says that there is none


def test_no_tests_is_a_failure_unless_words_narrowed(pytest_run):
    pytest_run.status = pytest.ExitCode.NO_TESTS_COLLECTED
    assert commands.test([]) == 5
    assert commands.test(["-k", "nothing"]) == 0


def test_paths_and_options_may_be_mixed(pytest_run):
    commands.test(["tests/test_settings.py", "-k", "home", "notebooks/12_convolution.ipynb"])
    paths = [Path(word).name for word in pytest_run.arguments if word.endswith(("py", "ipynb"))]
    assert paths == ["test_settings.py", "12_convolution.ipynb"]
