"""Training: counting, logging, stopping, showing, saving. The loop belongs to the lessons."""

import copy
import gc
import json
import math
import signal
import time

import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from matplotlib.figure import Figure

from course_lib import device, display, plots, training
from course_lib.settings import CourseError

quick = hypothesis_settings(deadline=None, derandomize=True, max_examples=30)


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    """The standard profile, and torch's global generator untouched."""
    monkeypatch.setenv("COURSE_PROFILE", "standard")
    state = torch.get_rng_state()
    yield
    assert torch.equal(state, torch.get_rng_state()), "the global generator was used"


class Clock:
    """Stands for time.monotonic and time.process_time; moves only when told to."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(training.time, "monotonic", clock)
    monkeypatch.setattr(training.time, "process_time", clock)
    return clock


class Notebook(list):
    """What a kernel would show: one list of (data, metadata) per output, the last is seen."""

    def display(self, data, metadata=None, raw=False, display_id=None):
        assert raw and display_id
        self.append([(data, metadata)])
        shown = self[-1]
        update = staticmethod(lambda data, metadata=None, raw=False: shown.append((data, metadata)))
        return type("Handle", (), {"update": update})()


@pytest.fixture
def notebook(monkeypatch):
    notebook = Notebook()
    monkeypatch.setattr(display, "in_notebook", lambda: True)
    monkeypatch.setattr("IPython.display.display", notebook.display)
    return notebook


def run_all(run, body=lambda step: None):
    with run:
        for step in run:
            body(step)
    return run


@quick
@given(st.integers(0, 30))
def test_every_step_comes_once_in_order(n):
    seen = []
    run = run_all(training.progress(n), seen.append)
    assert seen == list(range(n))
    assert run.step == n and run.fraction == 1 and not run.interrupted


@pytest.mark.parametrize("answer", [True, 1.0, 7])
def test_should_stop_ends_the_training(answer):
    seen = []
    run_all(training.progress(100, lambda: answer if len(seen) == 3 else 0), seen.append)
    assert seen == [0, 1, 2]


def test_never_stop_never_stops():
    assert training.never_stop() == 0


def test_the_fraction_is_the_larger_of_steps_and_budget():
    spent = 0.0
    seen = []
    with training.progress(10, lambda: spent) as run:
        for step in run:
            seen.append(run.fraction)
            spent = 0.5 if step >= 2 else 0
    assert seen == [0, 0.1, 0.2, 0.5, 0.5, 0.5, 0.6, 0.7, 0.8, 0.9]


def test_a_budget_counts_from_its_first_call(clock):
    budget = training.Budget(20)
    clock.now += 50
    assert budget() == 0
    clock.now += 5
    assert budget() == 0.25
    clock.now += 25
    assert budget() == 1.5


def test_a_budget_of_real_cpu_seconds_is_kept():
    begun = time.process_time()
    run = run_all(training.progress(10**9, training.Budget(0.1)), lambda step: math.factorial(50))
    assert 0.1 <= time.process_time() - begun < 1
    assert run.step > 10


@quick
@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.floats(-1e6, 1e6)), max_size=250))
def test_the_history_holds_what_was_logged(entries):
    run = training.progress(len(entries))
    run_all(run, lambda step: run.log(**entries[step]))
    for name in "abc":
        steps = [step for step, entry in enumerate(entries) if name in entry]
        logged = (steps, [entries[step][name] for step in steps])
        assert run.history.get(name, ([], [])) == logged


def test_tensors_are_copied_detached_and_become_plain_numbers():
    x = torch.tensor([2.0], requires_grad=True)
    run = training.progress(2)
    run_all(
        run, lambda step: run.log(loss=x * 3, half=torch.tensor(0.5).bfloat16(), n=torch.tensor(7))
    )
    value = torch.tensor(1.0)
    run.log(changed=value)
    value += 1
    assert run.history["loss"] == ([0, 1], [6.0, 6.0])
    assert run.history["half"][1] == [0.5, 0.5] and run.history["n"][1] == [7, 7]
    assert run.history["changed"][1] == [1.0]
    assert {type(v) for _, values in run.history.values() for v in values} == {float}
    assert json.loads(json.dumps(run.history))["loss"] == [[0, 1], [6.0, 6.0]]


def test_values_are_read_late_and_once():
    reads = []

    class Value:
        def __float__(self):
            reads.append(len(reads))
            return 1.0

    run = training.progress(300)
    run_all(run, lambda step: run.log(loss=Value()) or reads and pytest.fail("read in the loop"))
    assert run.history == {"loss": (list(range(300)), [1.0] * 300)} == run.history
    assert len(reads) == 300


@pytest.mark.filterwarnings("ignore::FutureWarning")  # gc also shows deprecated things
def test_numbers_of_the_cpu_leave_no_tensors_in_memory():
    alive, run = [], training.progress(200)

    def step_of(step):
        run.log(loss=torch.ones(3).sum())
        if step in (50, 150):
            alive.append(sum(isinstance(thing, torch.Tensor) for thing in gc.get_objects()))

    run_all(run, step_of)
    assert alive[1] - alive[0] < 50


def test_only_single_numbers_can_be_logged():
    with pytest.raises(CourseError, match=r"log\(loss=.*\(2, 3\)"), training.progress(1) as run:
        for _ in run:
            run.log(loss=torch.zeros(2, 3))


def test_the_loop_needs_the_block_around_it():
    with pytest.raises(CourseError, match="with training.progress"):
        next(iter(training.progress(3)))


def test_ctrl_c_keeps_everything_and_a_second_block_goes_on(capsys):
    run, seen = training.progress(10, label="cnn"), []

    def body(step):
        run.log(loss=0.5)
        if step == 4 and not run.interrupted and len(seen) == 4:
            signal.raise_signal(signal.SIGINT)
        seen.append(step)

    run_all(run, body)
    assert run.interrupted and run.step == 4 and seen == [0, 1, 2, 3]
    assert run.history["loss"][0] == [0, 1, 2, 3, 4]
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("cnn: stopped at step 4 of 10 after")
    assert line.endswith("loss 0.5. Model, optimiser and history are kept.")
    seen.append("stopped")
    run_all(run, body)
    assert seen == [0, 1, 2, 3, "stopped", 4, 5, 6, 7, 8, 9] and not run.interrupted


def test_other_errors_pass(capsys):
    with pytest.raises(ValueError, match="mine"), training.progress(10) as run:
        for step in run:
            if step == 2:
                raise ValueError("mine")
    assert not run.interrupted
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("training: stopped at step 2 of 10")


def test_a_step_costs_next_to_nothing():
    loss, best = torch.tensor(1.0), math.inf
    for _ in range(5):
        begun = time.process_time()
        with training.progress(3000, training.Budget(1000)) as run:
            for _ in run:
                run.log(loss=loss)
        best = min(best, (time.process_time() - begun) / 3000)
    assert best < 20e-6  # seconds; about 3e-6 on a quiet machine


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.0 s"), (9.94, "9.9 s"), (59.4, "59.4 s"), (59.6, "1 min 00 s"), (125, "2 min 05 s")],
)
def test_durations_read_well(seconds, text):
    assert training._duration(seconds) == text


def test_a_pipe_gets_one_line(capsys):
    run = training.progress(600, label="cnn")
    run_all(run, lambda step: run.log(loss=1 / (step + 1)))
    out, err = capsys.readouterr()
    assert (
        out == "" and err.startswith("cnn: 600 steps in 0.") and err.endswith("s, loss 0.00169\n")
    )


def test_a_terminal_gets_one_line_that_changes(clock, capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "100")
    run = training.progress(80, label="cnn")

    def body(step):
        clock.now += 0.125
        run.log(loss=2.0)

    run_all(run, body)
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and err.endswith("\n")
    shown = [text.strip() for text in err.split("\r")]
    assert len(shown) == 1 + 20 + 1  # 10 s in steps of 0.5 s, then the result
    assert shown[10] == "cnn ━━━━━━━━━━──────────  50%, step 40, loss 2, 5.0 s left"
    assert shown[-1] == "cnn: 80 steps in 10.0 s, loss 2"
    assert all(len(text.rstrip("\n")) < 100 for text in err.split("\r"))


def test_the_smoke_profile_shows_only_the_result(clock, capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("COURSE_PROFILE", "smoke")
    run_all(training.progress(100), lambda step: setattr(clock, "now", clock.now + 1))
    assert capsys.readouterr().err.split("\r")[1:] == [
        "training: 100 steps in 1 min 40 s".ljust(79) + "\n"
    ]


def test_a_notebook_keeps_one_line_in_one_output(clock, notebook):
    run = training.progress(80, label="cnn")
    run_all(run, lambda step: setattr(clock, "now", clock.now + 0.125))
    ((*bars, last),) = notebook
    assert len(bars) == 20
    assert last == ({"text/plain": "cnn: 80 steps in 10.0 s"}, None)


def look(run):
    return plots.curves(run.history, xlabel="step", ylabel="loss")


def test_the_live_picture_is_redrawn_in_place_and_the_last_one_stays(clock, notebook):
    run = training.progress(80, view=look, every=3)

    def body(step):
        clock.now += 0.125
        run.log(loss=1 / (step + 1))

    run_all(run, body)
    line, pictures = notebook  # two outputs: plots shows nothing of its own inside a view
    assert len(pictures) == 3 + 1
    data, metadata = pictures[-1]
    assert "lowest 0.0125" in metadata["image/png"]["alt"] == data["text/plain"]
    assert len(line) == 21


def test_the_smoke_profile_draws_once_at_the_end(clock, notebook, monkeypatch):
    monkeypatch.setenv("COURSE_PROFILE", "smoke")
    calls = []
    run = training.progress(100, view=lambda run: calls.append(run.step) or Figure(), label="cnn")
    run_all(run, lambda step: setattr(clock, "now", clock.now + 1))
    assert calls == [100]
    assert notebook[1][0][1] == {"image/png": {"alt": "cnn after 100 steps"}}


def test_drawing_takes_a_tenth_of_the_time_at_most(clock, notebook):
    calls = []

    def slow(run):
        calls.append(clock.now)
        clock.now += 10
        return Figure()

    run_all(training.progress(2000, view=slow), lambda step: setattr(clock, "now", clock.now + 0.1))
    assert 2 <= len(calls) - 1 <= 200 / 90 + 1


def test_without_a_notebook_nothing_is_drawn():
    run_all(training.progress(3, view=lambda run: pytest.fail("drawn")))


def test_a_stopped_training_shows_its_picture_and_a_failed_one_does_not(notebook):
    def stop(error):
        with training.progress(5, view=lambda run: Figure()) as run:
            for _ in run:
                raise error

    stop(KeyboardInterrupt)
    assert len(notebook) == 2
    with pytest.raises(ValueError):
        stop(ValueError)
    assert len(notebook) == 3


def test_ctrl_c_ends_everything_where_a_run_cut_short_would_be_recorded():
    def interrupted():
        with training.progress(5) as run:
            for _ in run:
                raise KeyboardInterrupt
        return run.interrupted

    with pytest.raises(KeyboardInterrupt), training.ctrl_c_ends_all():
        interrupted()
    assert interrupted()  # outside, and after it, the training keeps what it has


def network(seed=0):
    """A small network with batch norm, weights drawn from a generator of its own."""
    draw = device.generator(seed)
    model = torch.nn.Sequential(
        torch.nn.utils.skip_init(torch.nn.Conv2d, 1, 4, 3),
        torch.nn.BatchNorm2d(4),
        torch.nn.Flatten(),
        torch.nn.utils.skip_init(torch.nn.Linear, 4 * 6 * 6, 3),
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.1 * torch.randn(parameter.shape, generator=draw))
    return model


def equal(a, b):
    """Whether two nested states hold the same keys, numbers and tensors, bit by bit."""
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b) and a.dtype == b.dtype
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(equal, a, b))
    return a == b


def test_a_run_resumes_at_the_step_that_is_set():
    run, seen = training.progress(6), []
    run.history.update({"loss": ([0, 1, 2], [3.0, 2.0, 1.0])})
    run.step = 3
    run_all(run, lambda step: seen.append(step) or run.log(loss=0.5))
    assert seen == [3, 4, 5] and run.history["loss"][0] == [0, 1, 2, 3, 4, 5]


def test_weights_come_back_bit_by_bit_in_the_models_own_layout(tmp_path):
    model = network().to(memory_format=torch.channels_last)
    model[3].weight.data = model[3].weight.data.bfloat16()
    training.save_weights(tmp_path / "w", model, score=torch.tensor(0.5), data="strokes", seeds=[1])
    again = network(seed=1).to(memory_format=torch.channels_last)
    again[3].weight.data = again[3].weight.data.bfloat16()
    facts = training.load_weights(tmp_path / "w", again)
    assert facts == {"score": 0.5, "data": "strokes", "seeds": [1]}
    assert equal(again.state_dict(), model.state_dict())
    assert again[0].weight.is_contiguous(memory_format=torch.channels_last)


def test_shared_weights_stay_shared(tmp_path):
    layer = torch.nn.utils.skip_init(torch.nn.Linear, 3, 3)
    layer.weight.data.fill_(2), layer.bias.data.fill_(1)
    model = torch.nn.Sequential(layer, layer)
    training.save_weights(tmp_path / "w", model)
    layer.weight.data.zero_()
    training.load_weights(tmp_path / "w", model)
    assert model[0].weight is model[1].weight and (layer.weight == 2).all()


def test_the_file_is_no_pickle_and_depends_on_its_content_alone(tmp_path):
    for name in ("a", "b"):
        training.save_weights(tmp_path / name, network(), z=1, a=2, m=[3])
    data = (tmp_path / "a").read_bytes()
    assert data == (tmp_path / "b").read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    assert json.loads(header["__metadata__"]["facts"]) == {"z": 1, "a": 2, "m": [3]}
    assert header["0.weight"]["shape"] == [4, 1, 3, 3]


def wrong(change):
    model = network()
    change(model)
    for parameter in model.parameters():
        parameter.data.fill_(0.5)
    return model


MISFITS = {
    "another shape": (lambda m: m.__setitem__(3, torch.nn.utils.skip_init(torch.nn.Linear, 144, 5)),
                      r"3\.weight is \(3, 144\) in the file and \(5, 144\) in the model"),
    "a layer more": (lambda m: m.append(torch.nn.PReLU()), r"4\.weight is missing in the file"),
    "a layer less": (lambda m: m.pop(3), r"3\.bias is .* and missing in the model"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISFITS)
def test_a_misfit_names_the_layer_and_changes_nothing(tmp_path, name):
    change, message = MISFITS[name]
    training.save_weights(tmp_path / "file", network())
    model = wrong(change)
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(CourseError, match=message):
        training.load_weights(tmp_path / "file", model)
    assert equal(model.state_dict(), before)


@quick
@given(st.binary(max_size=40), st.integers(0, 3000))
def test_a_damaged_file_is_one_clear_sentence(tmp_path_factory, junk, cut):
    path = tmp_path_factory.mktemp("damaged") / "w"
    training.save_weights(path, network())
    whole = path.read_bytes()
    for data in (junk, whole[: min(cut, len(whole) - 1)]):
        path.write_bytes(data)
        with pytest.raises(CourseError, match="damaged"):
            training.load_weights(path, network())


def test_a_missing_file_is_one_clear_sentence(tmp_path):
    with pytest.raises(CourseError, match="Cannot read"):
        training.load_weights(tmp_path / "none", network())


def test_facts_that_json_cannot_hold_leave_the_old_file(tmp_path):
    training.save_weights(tmp_path / "w", network(), n=1)
    with pytest.raises(TypeError):
        training.save_weights(tmp_path / "w", network(), n=object())
    assert training.load_weights(tmp_path / "w", network()) == {"n": 1}
