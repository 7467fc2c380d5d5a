"""Data sets, batches, photographs and the learner's own folder."""

import re
import socket
import time

import pytest
import torch
from hypothesis import assume, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from PIL import Image

from course_lib import __main__, datasets, downloads, photos, strokes
from course_lib.datasets import Dataset, batches, load
from course_lib.settings import ROOT, CourseError


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*args):
        raise AssertionError("this must not need a network")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture
def home(monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("COURSE_DATA_MIRROR", raising=False)
    return tmp_path / "home"


@pytest.fixture
def real_mnist(home, monkeypatch):
    folder = ROOT.parent / "shared" / "datasets"
    if not (folder / "mnist").is_dir():
        pytest.skip("the real MNIST files are not in ../shared/datasets")
    monkeypatch.setenv("COURSE_DATA_MIRROR", str(folder))


@given(
    count=st.integers(1, 40),
    batch_size=st.integers(1, 12),
    drop_last=st.booleans(),
    seed=st.integers(0, 99),
)
@examples(deadline=None, derandomize=True, max_examples=60)
def test_every_epoch_holds_each_row_once_in_a_new_order(count, batch_size, drop_last, seed):
    assume(not drop_last or count >= batch_size)
    rows, marks = torch.arange(count), torch.arange(count) * 7 + 1
    whole, rest = divmod(count, batch_size)
    steps = whole + (rest > 0 and not drop_last)
    cut = list(
        batches(
            rows,
            marks,
            batch_size=batch_size,
            generator=seeded(seed),
            steps=2 * steps,
            drop_last=drop_last,
        )
    )
    assert len(cut) == 2 * steps and all(torch.equal(7 * x + 1, y) for x, y in cut)
    for epoch in (cut[:steps], cut[steps:]):
        seen = torch.cat([x for x, _ in epoch])
        assert len(seen.unique()) == len(seen) == (count - rest if drop_last else count)
    sizes = {len(x) for x, _ in cut}
    assert sizes <= ({batch_size} if drop_last else {batch_size, rest, count})


def test_batches_are_endless_reshuffled_and_the_same_for_the_same_seed():
    x = torch.arange(100)
    stream = batches(x, batch_size=50, generator=seeded(3))
    first = [next(stream)[0] for _ in range(9)]
    again = batches(x, batch_size=50, generator=seeded(3), steps=9)
    assert all(torch.equal(a, b) for a, (b,) in zip(first, again, strict=True))
    assert not torch.equal(first[0], first[2]) and not torch.equal(first[0], x[:50])
    other = next(batches(x, batch_size=50, generator=seeded(4)))[0]
    assert not torch.equal(first[0], other)


def test_batches_keep_the_type_and_leave_the_global_random_state_alone():
    state = torch.random.get_rng_state()
    x, y = torch.zeros(9, 3, 4, 4, dtype=torch.uint8), torch.arange(9)
    a, b = next(batches(x, y, batch_size=4, generator=seeded(), channels_last=True))
    assert a.dtype == torch.uint8 and b.dtype == torch.int64 and a.shape == (4, 3, 4, 4)
    assert a.is_contiguous(memory_format=torch.channels_last)
    plain = next(batches(x, batch_size=4, generator=seeded()))[0]
    assert plain.is_contiguous() and not plain.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(state, torch.random.get_rng_state())


def test_batches_that_cannot_be_cut_are_refused_at_once():
    x = torch.arange(10)
    for tensors, size in (((x, x[:9]), 2), ((x,), 11), ((x,), 0), ((x[:0],), 1)):
        with pytest.raises(CourseError, match="batches"):
            batches(*tensors, batch_size=size, generator=seeded())


def test_batches_are_fast_enough_to_be_forgotten():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    x, y = torch.zeros(60_000, 1, 28, 28, dtype=torch.uint8), torch.zeros(60_000).long()
    try:
        rates = []
        for _ in range(5):
            start = time.process_time()
            for images, _ in batches(x, y, batch_size=128, generator=seeded(), steps=400):
                datasets.to_float(images)
            rates.append(400 * 128 / (time.process_time() - start))
    finally:
        torch.set_num_threads(threads)
    assert max(rates) > 500_000, f"{max(rates):,.0f} images per second"


def toy(count=12):
    values = torch.arange(count * 16).remainder(256).to(torch.uint8).reshape(count, 1, 4, 4)
    factors = {"slant": torch.linspace(-1, 1, count)}
    return Dataset("toy", "train", values, torch.arange(count), ("a", "b"), factors)


@pytest.mark.parametrize("low, high", [(0, 1), (-1, 1), (-0.5, 0.5), (0, 255)])
def test_float_maps_0_and_255_onto_the_ends_of_the_range(low, high):
    data = Dataset("grey", "train", torch.arange(256, dtype=torch.uint8).reshape(256, 1, 1, 1))
    x = data.float(range=(low, high))
    expected = torch.linspace(low, high, 256, dtype=torch.float64)
    assert x.dtype == torch.float32 and x.min() == low and x.max() == high
    assert torch.allclose(x.flatten().double(), expected, atol=1e-6 * (high - low))
    assert data.images.flatten().tolist() == list(range(256)), "the images themselves stay"


def test_a_subset_keeps_what_belongs_together():
    data = toy()
    few = data.subset(3)
    assert len(few) == 3 and few.labels.tolist() == [0, 1, 2] and len(few.factors["slant"]) == 3
    for which in (torch.tensor([7, 2]), [7, 2]):
        two = data.subset(which)
        assert two.labels.tolist() == [7, 2] and torch.equal(two.images[1], data.images[2])
        assert two.factors["slant"][0] == data.factors["slant"][7]
    assert len(data.subset(data.labels > 9)) == 2 and len(data) == 12
    bare = Dataset("x", "test", data.images).subset(2)
    assert bare.labels is None and len(bare) == 2


def test_a_data_set_introduces_itself():
    assert repr(toy()) == (
        "toy (train): 12 images, 1x4x4, uint8 in 0..255, 2 classes, factors: slant"
    )


@pytest.mark.parametrize(
    "arguments, told",
    [
        (("emnist", "train"), "There is no data set 'emnist'; there are strokes, cats"),
        (("photos", "valid"), "There is no split 'valid'; there are train, test"),
        (("photos", "test", dict(size=10**6)), "size=1000000 is not between 1"),
        (("photos", "test", dict(size=0)), "size=0 is not between 1"),
        (("photos", "test", dict(patch=4)), "patch=4 is too small"),
        (("photos", "test", dict(patch=5000)), "No photograph is as large as patch=5000"),
        (("folder", "train", dict(folder="/no/such")), "There is no folder"),
    ],
)
def test_what_cannot_be_loaded_is_said(arguments, told):
    *names, options = arguments if len(arguments) == 3 else (*arguments, {})
    with pytest.raises(CourseError, match=told):
        load(*names, **options)


def test_strokes_come_from_the_course(monkeypatch):
    def draw(split, size, seed):
        images = torch.full((size, 1, 28, 28), seed, dtype=torch.uint8)
        return images, torch.arange(size), {"wobble": torch.zeros(size), "form": torch.ones(size)}

    monkeypatch.setattr(strokes, "load", draw)
    data = load("strokes", "test", size=5, seed=9)
    assert data.images.unique().tolist() == [9] and len(data) == 5 and data.split == "test"
    assert list(data.factors) == ["form", "wobble"] and data.class_names == tuple("0123456789")


@pytest.mark.parametrize("split, count", [("train", 60_000), ("test", 10_000)])
def test_real_mnist(split, count, real_mnist, no_network):
    data = load("mnist", split)
    assert data.images.shape == (count, 1, 28, 28) and data.images.dtype == torch.uint8
    assert data.images.min() == 0 and data.images.max() == 255 and data.value_range == (0, 255)
    assert data.labels.dtype == torch.int64 and data.labels.shape == (count,)
    first = {"train": [5, 0, 4, 1, 9], "test": [7, 2, 1, 0, 4]}  # as every MNIST viewer shows
    assert data.labels[:5].tolist() == first[split]
    assert data.labels.bincount().min() > count // 12 and "BY-SA" in data.licence
    mean = {"train": 33.318421, "test": 33.791225}  # published as 0.1307 and 0.1325 of 255
    assert data.images.double().mean().item() == pytest.approx(mean[split], abs=1e-5)


def test_a_size_chooses_by_the_seed(real_mnist):
    few, more = (load("mnist", "test", size=n, seed=1) for n in (50, 80))
    assert torch.equal(few.images, more.images[:50]), "a larger size holds the smaller one"
    assert not torch.equal(few.labels, load("mnist", "test", size=50, seed=2).labels)


def test_the_photographs_are_split_by_scene_and_lie_on_this_disk(no_network):
    scenes = {"train": set(), "test": set()}
    for name, (_, split, coloured) in photos.PHOTOGRAPHS.items():
        scenes[split].add(name.split("_")[0])
        picture = datasets.photograph(name)
        assert picture.dtype == torch.uint8 and len(picture) == 3 and min(picture.shape[1:]) > 150
        assert coloured != (torch.equal(picture[0], picture[1]) and torch.equal(*picture[1:]))
    assert not scenes["train"] & scenes["test"]
    assert {"camera", "chelsea", "astronaut"} <= scenes["test"] and "motorcycle" in scenes["train"]
    with pytest.raises(CourseError, match="no photograph 'lena'; there are brick"):
        datasets.photograph("lena")


@pytest.mark.parametrize("split", ["train", "test"])
def test_patches_are_cut_from_the_photographs_on_a_centred_grid(split):
    data = load("photos", split, patch=96)
    assert data.images.shape[1:] == (3, 96, 96) and data.images.is_contiguous()
    assert set(data.class_names) == {
        name
        for name, (_, part, coloured) in photos.PHOTOGRAPHS.items()
        if part == split and coloured
    }
    name = {"train": "rocket", "test": "chelsea"}[split]
    picture, mine = datasets.photograph(name), data.labels == data.class_names.index(name)
    step = {"train": 48, "test": 96}[split]
    _, height, width = picture.shape
    places = [
        (y, x)
        for y in range((height - 96) % step // 2, height - 95, step)
        for x in range((width - 96) % step // 2, width - 95, step)
    ]
    assert mine.sum() == len(places)
    for patch, (y, x) in zip(data.images[mine], places, strict=True):
        assert torch.equal(patch, picture[:, y : y + 96, x : x + 96])


def test_grey_patches_hold_every_scene(no_network):
    data, colour = load("photos", "test", grey=True), load("photos", "test")
    assert data.images.shape[1:] == (1, 64, 64)
    assert data.class_names == ("astronaut", "camera", "chelsea")
    red, green, blue = colour.images[0].double()
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    assert (data.images[0, 0].double() - luma).abs().max() <= 0.501
    camera = data.images[data.labels == 1]
    assert torch.equal(camera[0, 0], datasets.photograph("camera")[0, :64, :64])
    again = load("photos", "test", grey=True, size=20, seed=4)
    assert torch.equal(again.images, load("photos", "test", grey=True, size=20, seed=4).images)
    large = load("photos", "test", patch=512)
    assert large.labels.tolist() == [0], "chelsea is smaller than that"


def test_the_readme_of_the_data_is_true(no_network):
    text = (ROOT / "data" / "README.md").read_text(encoding="utf-8")
    counts = [len(load("photos", s, grey=g)) for g in (False, True) for s in ("train", "test")]
    assert "{:,} + {:,} in colour, {:,} + {:,} in grey".format(*counts) in text
    for name, (_, split, coloured) in photos.PHOTOGRAPHS.items():
        height, width = datasets.photograph(name).shape[1:]
        line = next(line for line in text.splitlines() if f"`{name}`" in line)
        assert f"| {split} | {height}x{width} {'colour' if coloured else 'grey'} |" in line
    for name, entry in downloads.catalogue().items():
        size = sum(file["bytes"] for file in entry["files"].values()) / 1e6
        assert f"`{name}`" in text and f"| {size:.3g} MB |" in text
        assert all(f"`{file}`" in text for file in entry["files"])


@pytest.fixture
def album(tmp_path):
    folder = tmp_path / "Bilder äöü"
    (folder / "more").mkdir(parents=True)
    (folder / ".hidden").mkdir()
    for k in range(9):
        Image.new("RGB", (40 + k, 30), (10 * k, 20, 30)).save(folder / f"{k}.png")
    Image.new("L", (8, 90), 200).save(folder / "more" / "tall.jpg")
    (folder / "9 notes.txt").write_text("no picture", encoding="utf-8")
    (folder / ".hidden" / "x.png").write_bytes(b"not looked at")
    return folder


def test_a_folder_of_ones_own_pictures(album, capsys):
    train, test = (load("folder", split, folder=album, patch=16) for split in ("train", "test"))
    assert "Skipped, as they cannot be read as pictures: 9 notes.txt." in capsys.readouterr().out
    assert train.images.shape == (9, 3, 16, 16) and train.labels is None
    assert sorted(train.images[:, 0, 5, 5].tolist()) == [0, 10, 20, 30, 50, 60, 70, 80, 200]
    assert sorted(test.images[:, 0, 5, 5].tolist()) == [40], "every fifth name"
    grey = load("folder", "train", folder=str(album), patch=8, grey=True, size=3)
    assert grey.images.shape == (3, 1, 8, 8)


def test_a_folder_without_pictures_is_said(tmp_path, home):
    with pytest.raises(CourseError, match="holds no readable picture"):
        load("folder", "train", folder=tmp_path)
    Image.new("RGB", (9, 9)).save(tmp_path / "one.png")
    with pytest.raises(CourseError, match="for 'test': put at least five"):
        load("folder", "test", folder=tmp_path)
    with pytest.raises(CourseError, match="home.*folder"):
        load("folder", "train")


def test_the_list_of_data_sets(home, capsys):
    rows = {row.name: row for row in datasets.status()}
    assert tuple(rows) == datasets.NAMES
    assert rows["strokes"].state == rows["photos"].state == "ready"
    assert rows["mnist"].size_mb == pytest.approx(11.594722)
    assert rows["folder"].state == "0 files" and str(home) in rows["folder"].hint
    assert datasets.main([]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in datasets.NAMES) and "170.1 MB" in shown


def test_the_command_fetches_and_verifies(real_mnist, home, capsys):
    assert datasets.main(["mnist", "strokes"]) == 0
    assert len(list((home / "data" / "mnist").iterdir())) == 4
    assert re.search(r"^mnist .* ready ", capsys.readouterr().out)
    (home / "data" / "mnist" / "t10k-labels-idx1-ubyte.gz").write_bytes(b"cut off")
    assert datasets.main(["mnist", "photos", "nonsense"]) == 1
    shown = capsys.readouterr()
    assert "7 bytes instead of 4,542" in shown.err and "no data set 'nonsense'" in shown.err
    assert re.search(r"^photos .* ready ", shown.out), (
        "a failure does not keep the others from being fetched"
    )


def test_ctrl_c_ends_the_command_quietly(home, monkeypatch, capsys):
    def stop(name):
        raise KeyboardInterrupt

    monkeypatch.setattr(downloads, "fetch", stop)
    assert __main__.main(["data", "cifar10"]) == 130 and "Stopped" in capsys.readouterr().err
