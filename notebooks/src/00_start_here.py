# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown] tags=["core", "workshop"]
# # 00 Start here
#
# You will drag a trained generator with four sliders, take its pictures apart into numbers, and build the first small
# functions of this course.
#
# ![A digit that the generator draws, and what each of its four sliders does to it](../data/pictures/00-002.png)
#
# | | |
# |---|---|
# | **You need** | a little Python; nothing about networks |
# | **Time** | 30 minutes for the core, 15 more for the rest; the notebook itself runs in under a minute on two cores |
# | **Machine** | no GPU, no network, 0.9 GB of memory |
#
# Press Shift+Enter to run a cell and go to the next. Do it twice, and there is something to play with.

# %% tags=["core", "workshop"]
from course_lib import explore, firstlook

model = firstlook.load()
controls = [explore.slider("digit", 0.0, 9.0, 3.0, 0.1)]
for k in (1, 2, 3, 4):
    controls.append(explore.slider(f"slider {k}", -firstlook.REACH, firstlook.REACH, 0.0, 0.1))
controls.append(explore.slider("hand", 0, 20, 0))
for control in controls:
    control.continuous_update = True  # draw while you drag


def show(digit, hand, **sliders):
    return firstlook.picture(model, digit, sliders.values(), hand)


explore.View(show, controls)

# %% [markdown] tags=["core", "workshop"]
# ## 1 Drag it
#
# Each slider changes something about the digit. Nobody told it what: a network looked at 60,000 digits and had to
# describe each with eight numbers. Four of them are the sliders, the strongest first; `hand` throws dice for the others. The
# strips at the right show what each slider alone would do. Find a name for each, and try the names on another digit. (How such
# a network is trained is the matter of lesson 31. Until you have built your own, this one comes with the course.)
#
# When you are through, you can
#
# 1. turn bytes into numbers of a stated range and back, and lose nothing,
# 2. turn colour into grey as the eye weighs it,
# 3. count the greys of a picture, and say from the counts what kind of picture it is,
# 4. stop a training and keep what it has learnt,
# 5. say at which lesson you begin.
#
# > **Remember.** A picture is a table of numbers in a stated range. A generator is a function from a few numbers to such a
# > table. To learn is to move numbers until the pictures fit.
#
# Every experiment begins with a guess, since a wrong guess is what one remembers. **Predict.** The slider `digit` goes from
# 0 to 9, and stops at 3.5 too. Nobody has ever written a three and a half. What will be drawn there: nothing, noise, both
# digits on top of each other, or something else? Decide, then run.

# %% tags=["core", "workshop"]
import torch

from course_lib import checks, datasets, device, images, metrics, plots, settings, trained
from course_lib.built.cnn import CNN
from course_lib.settings import profile

between = torch.linspace(3, 4, 11)
drawn = model(firstlook.shares(between), torch.zeros(11, firstlook.NUMBERS))
labels = [f"{number:.1f}" for number in between]
fig = plots.show_images(drawn, value_range=(0, 1), columns=11, labels=labels)

# %% [markdown] tags=["core", "workshop"]
# Something else: strokes that bend from one digit to the other, by way of what looks like a nine. A generator is a function. It
# has an answer for every input, also for those that nobody asked it before; whether the answer is any good is another
# question.
#
# **Predict.** Or does it merely hand out digits that it has learnt by heart? Below are ten digits at random
# sliders and, under each, the most similar of all its 60,000 training digits. Will they be the same? And how many
# of 1,000 such digits will a second network, one that reads (lesson 14), read as the digit that was asked for?

# %% tags=["core", "workshop"]
generator = device.generator(0)  # torch's word for a source of random numbers
train = datasets.load("strokes", "train", size=profile(smoke=2000, standard=None))
test = datasets.load("strokes", "test", size=1000)
known = train.float()  # numbers from 0 to 1, as the generator's
asked = torch.arange(1000) % 10
drawn = model(firstlook.shares(asked), torch.randn(1000, firstlook.NUMBERS, generator=generator))
far, which = metrics.nearest_distance(drawn[:100], known)
usual = metrics.nearest_distance(test.float()[:100], known)[0].mean()
pairs = {"drawn": drawn[:10], "nearest": known[which[:10]]}
fig = plots.compare(pairs, value_range=(0, 1), scale=2)
print(f"distance to the nearest: {far.mean():.2f}; of the pen's new digits: {usual:.2f}")

reader = CNN()
trained.load("cnn", reader, "strokes")


def share_read(pictures, labels):
    """Return the share of pictures (N, 1, 28, 28) that the reader reads as their labels."""
    with torch.no_grad():
        return (reader.eval()(pictures).argmax(dim=1) == labels).double().mean().item()


rows = {"drawn by the generator": drawn, "drawn by the pen": test.float()}
for (name, pictures), labels in zip(rows.items(), (asked, test.labels), strict=True):
    print(f"{name}: {share_read(pictures, labels):.1%} read as they should be")
assert share_read(drawn, asked) > 0.9 and far.min() > 0.5

# %% [markdown] tags=["core", "workshop"]
# Similar, but not the same: they lie about as far from what it was trained on as new digits of the same pen do, and a
# copy would lie at 0. It has not learnt them by heart. And nearly all are read as asked, though not as many as of the pen's own. How
# to measure a generator is half of this course: always beside something that you know.
#
# ## 2 A picture is a table of numbers
#
# What has been drawn are numbers. On a disk, a grey picture is a table of **bytes**, whole numbers from 0 (black) to 255
# (white). Many of them make one tensor of shape (N, C, H, W): N pictures, C channels (1 for grey, 3 for
# red, green, blue), H rows, W columns. **Predict.** Which numbers will you see in the middle of a stroke, and which at its edge?

# %% tags=["core", "workshop"]
one = test.images[:1]
assert one.shape == (1, 1, 28, 28) and one.dtype == torch.uint8 and test.value_range == (0, 255)
print(f"shape {tuple(one.shape)}, type {one.dtype}, from {one.min()} to {one.max()}")
fig = plots.heatmap(
    one[0, 0, 8:20, 8:20], xlabel="column", ylabel="row", value_range=(0, 255),
    ticks=range(8, 20), caption="The middle of a digit; here, blue is ink.",
)

# %% [markdown] tags=["core", "workshop"]
# Full ink in the middle and everything in between at the edge: the in-between is what makes it look smooth.
#
# Networks want other numbers: small ones with decimals, from a `low` to a `high` end, most often 0 to 1 or -1 to 1. What is
# the rule? A straight line $y = a\,b + c$ through two points: the byte 0 becomes low, so $c = \text{low}$; the byte 255
# becomes high, so $255\,a + \text{low} = \text{high}$. Together, and solved for $b$ to go back,
#
# $$ y = \text{low} + (\text{high} - \text{low})\, \frac{b}{255}, \qquad
#    b = 255\, \frac{y - \text{low}}{\text{high} - \text{low}} . $$
#
# | symbol | variable | shape |
# |---|---|---|
# | $b$, bytes | `x` in `to_float` | (..., H, W), uint8 |
# | $y$, numbers | `x` in `to_bytes` | (..., H, W), float32 |
#
# **Your first line.** Where a cell says `raise NotImplementedError`, write what it asks for, in its place. The cell after it
# is a **check**: it tries your function on pictures of which it knows the answer. Right: a ✓. Wrong: it stops, and says
# what is wrong. Nothing written: a ○, and the lesson goes on with the course's answer. Stuck? Two hints fold out, and
# below the check lies the solution.
#
# <details><summary>Hint 1</summary><code>x.float()</code> makes float32 numbers of bytes. Then the formula.</details>
# <details><summary>Hint 2</summary><code>return low + (high - low) * x.float() / 255</code></details>

# %% tags=["core", "workshop", "export", "exercise"]
def to_float(x, low=0.0, high=1.0):
    """Turn bytes uint8 (...) into float32 (...): 0 becomes low, 255 becomes high."""
    ### TODO: the straight line of the formula above
    ### BEGIN SOLUTION
    return low + (high - low) * x.float() / 255
    ### END SOLUTION


# %% tags=["core", "workshop"]
to_float = checks.start_here.to_float(to_float)

# %% tags=["core", "workshop", "raises-exception"]
# And this is what a wrong answer gets: somebody divides when the pictures are loaded, and again.
checks.start_here.to_float(lambda x, low=0.0, high=1.0: x / 255 / 255)

# %% [markdown] tags=["core"]
# In real projects this happens, and nothing crashes. (E1, E4 and the like: mistakes that were found in real code have numbers
# in this course, and every check is tested against them.)
#
# **Now back.** A byte holds nothing above 255: one more, and it starts again at 0, like an old car's odometer. And making
# whole numbers cuts the decimals off.
#
# **Predict.** What is 200 + 100 in bytes? What does 254.7 become?
#
# <details><summary>Hint 1</summary>Solve for b, as above. Then round. Then keep everything within 0 and 255. Only then make
# bytes of it.</details>
# <details><summary>Hint 2</summary><code>b = 255 * (x - low) / (high - low)</code>, then
# <code>b.round().clamp(0, 255).to(torch.uint8)</code></details>

# %% tags=["core", "export", "exercise"]
def to_bytes(x, low=0.0, high=1.0):
    """Turn numbers (...) from low to high into the nearest bytes, uint8; clip what sticks out."""
    ### TODO: the formula for b, rounded, clipped to 0..255, as torch.uint8
    ### BEGIN SOLUTION
    b = 255 * (x - low) / (high - low)
    return b.round().clamp(0, 255).to(torch.uint8)
    ### END SOLUTION


# %% tags=["core"]
to_bytes = checks.start_here.to_bytes(to_bytes)
byte = torch.tensor([200], dtype=torch.uint8)
print(f"200 + 100 = {(byte + 100).item()}, and 254.7 becomes {torch.tensor(254.7).byte().item()}")
coffee = datasets.photograph("coffee")[:, ::3, ::3]
brighter = torch.stack([coffee, coffee + 100, to_bytes(to_float(coffee) + 100 / 255)])
names = ["as it is", "bytes + 100", "floats + 100/255"]
fig = plots.show_images(brighter, value_range=(0, 255), columns=3, labels=names)

# %% [markdown] tags=["core"]
# 300 - 256 = 44, and 254. So: bytes for storing, floats for computing. (What becomes of a *float* above 255 without
# `clamp` depends on the processor, which is worse than wrong.)
#
# ## 3 Digits that know what they are
#
# Nobody wrote the digits of this course either: a pen draws them, from *factors* that a person chose and named. So
# for each of them the truth is known, its slant, its thickness, its letter form, which no real data set tells. It
# is how later lessons find out whether a network has understood anything. (With `COURSE_DATA=mnist` the lessons run on
# real handwriting.)

# %% tags=["core"]
from course_lib import strokes

slant, thick = test.factors["slant"][:10], test.factors["thickness"][:10]
fig = plots.show_images(
    test.images[:10], value_range=(0, 255), columns=10,
    labels=[f"{s:+.2f} {t:.1f}" for s, t in zip(slant, thick, strict=True)],
    caption="Ten digits with their true slant, and thickness in pixels.",
)


def pen(digit, slant, thickness, width, rotation, hand):
    """Draw one digit from its factors, large."""
    factors = {"digit": [digit], "slant": slant, "thickness": thickness, "width": width}
    drawing = strokes.draw(factors | {"rotation": rotation, "noise": hand})
    alt = f"A {digit} drawn by the pen: slant {slant}, {thickness} pixels thick, width {width}."
    return plots.show_images(drawing, value_range=(0, 255), scale=8, alt=alt)


scales = {"digit": (0, 9, 4), "slant": (-0.4, 0.8, 0.1, 0.1), "thickness": (1.5, 6.0, 2.6, 0.1)}
scales |= {"width": (0.6, 1.6, 1.0, 0.1), "rotation": (-15, 15, 0), "hand": (0, 30, 7)}
explore.View(pen, [explore.slider(name, *scale) for name, scale in scales.items()])

# %% [markdown] tags=["core"]
# Compare the two sets of sliders. The pen's have names, since a person wrote a program for each. The generator's have been
# *found*: nobody wrote a program that slants a three. This is what the course is about.
#
# ## 4 Colour, and grey
#
# A photograph has three channels. How bright is a colour? The simplest thing that could work is the plain mean
# of red, green and blue. **Predict.** Pure red, pure green and pure blue, made grey by the plain mean: which looks
# brightest? And to your eye?

# %% tags=["core"]
scenes = ("astronaut", "chelsea", "coffee", "rocket")
photos = torch.stack([images.fit(datasets.photograph(name), 132) for name in scenes])
fig = plots.show_images(photos, value_range=(0, 255), columns=4, labels=scenes)
chelsea = photos[1]  # (3, H, W)
alone = torch.stack([chelsea * (torch.arange(3) == k)[:, None, None] for k in range(3)])
fig = plots.show_images(alone, value_range=(0, 255), labels=["red", "green", "blue"], columns=3)
print(f"mean of red, green and blue: {chelsea.float().mean(dim=(1, 2)).round().tolist()}")

# %% [markdown] tags=["core"]
# By the plain mean all three become the same grey, and a drawing in three colours would vanish. The eye sees green far
# brighter than blue. The weights that television settled on (ITU-R BT.601) are in `images.LUMA`:
#
# $$ \text{grey} = 0.299\, R + 0.587\, G + 0.114\, B . $$
#
# They sum to 1, so that white stays white.
#
# <details><summary>Hint 1</summary>Shapes are matched from the right. The weights (3,) have to stand in front of H and W:
# <code>weights[:, None, None]</code>.</details>
# <details><summary>Hint 2</summary><code>return (weights[:, None, None] * x).sum(dim=1, keepdim=True)</code></details>

# %% tags=["core", "export", "exercise"]
def to_grey(x):
    """Return the brightness (B, 1, H, W) of colours (B, 3, H, W), 0 is black. ITU-R BT.601."""
    weights = torch.tensor(images.LUMA, dtype=x.dtype)  # red, green, blue
    ### TODO: weight the channels, add them up, keep the axis
    ### BEGIN SOLUTION
    return (weights[:, None, None] * x).sum(dim=1, keepdim=True)
    ### END SOLUTION


# %% tags=["core"]
to_grey = checks.start_here.to_grey(to_grey)
stripes = torch.eye(3).repeat_interleave(44, dim=1)  # red, green, blue from top to bottom
stripes = stripes[None, :, :, None].expand(1, 3, 132, 132)
colours = torch.cat([to_float(photos[1:]), stripes])  # (4, 3, 132, 132)
means = colours.mean(dim=1, keepdim=True)
looks = {"colour": colours, "plain mean": means, "to_grey": to_grey(colours)}
looks = {name: x.expand(-1, 3, -1, -1) for name, x in looks.items()}
fig = plots.compare(looks, value_range=(0, 1), scale=1)

# %% [markdown] tags=["core"]
# ## 5 Count the greys
#
# A **histogram** says how often each of the 256 bytes occurs. It forgets where, and it is surprising how much it
# still knows.
#
# **Predict.** Sketch two histograms: of the digits, and of the photographs in grey. Where are the peaks?
#
# <details><summary>Hint 1</summary><code>torch.bincount</code> counts how often each whole number occurs in a list. Make a
# list of the pixels: <code>x.flatten()</code>.</details>
# <details><summary>Hint 2</summary><code>return torch.bincount(x.flatten(), minlength=256)</code>; without
# <code>minlength</code> the counts end at the largest byte that occurs.</details>

# %% tags=["core", "export", "exercise"]
def count_greys(x):
    """Count how often each byte occurs in images uint8 (...): (256,) whole numbers."""
    ### TODO: 256 counts over all pixels
    ### BEGIN SOLUTION
    return torch.bincount(x.flatten(), minlength=256)
    ### END SOLUTION


# %% tags=["core"]
count_greys = checks.start_here.count_greys(count_greys)
grey = to_bytes(to_grey(to_float(photos)))
chosen = datasets.load(settings.data_name(), "test", size=1000)
counts = {settings.data_name(): count_greys(chosen.images), "photographs": count_greys(grey)}
shares = {name: 100 * n / n.sum() for name, n in counts.items()}
fig = plots.curves(shares, xlabel="byte", ylabel="% of the pixels", log=True)
for name, share in shares.items():
    print(f"{name}: {share[0]:.1f} % black, {share[255]:.1f} % white, the rest between")
assert shares[settings.data_name()][0] > shares["photographs"][0]

# %% [markdown] tags=["core"]
# The digits: a high peak at black, a smaller one at white, little between. The photographs: hills all over. A generator
# of digits that paints grey fog has learnt something wrong, and the histogram says so before you look. (Lesson 01 turns
# such counts into your first generators.)
#
# ## 6 Break it on purpose: ranges (E1, E6)
#
# Four ways to hand the same digits to the network that reads. The first is right: 0 to 1. Then: divided by 255 twice; the bytes as
# they are, only as floats; and -1 to 1. **Predict** for each: does it still read? Does anything crash?

# %% tags=["core"]
ways = {
    "right": to_float(test.images),
    "twice (E1)": to_float(test.images) / 255,
    "bytes (E1)": test.images.float(),
    "-1..1 (E6)": to_float(test.images, -1, 1),
}
reads = {}
for name, x in ways.items():
    reads[name] = share_read(x, test.labels)
    print(f"{name}: from {x.min():g} to {x.max():.4g}, {reads[name]:.1%} read")
shown = {name: x[:10].clamp(0, 1) for name, x in ways.items()}
caption = "As a screen shows them: what sticks out is clipped."
fig = plots.compare(shown, value_range=(0, 1), scale=2, caption=caption)
assert reads["right"] > 0.95 > 0.2 > reads["twice (E1)"]
assert reads["right"] > max(reads["bytes (E1)"], reads["-1..1 (E6)"])

# %% [markdown] tags=["core"]
# Nothing crashes, and nothing is read as well as the first. Divided twice, all is nearly black, and the reader guesses. At -1 to 1
# the paper is darker than any paper it has ever seen, and half-inked pixels have turned into paper. The most dangerous way is
# the third: it nearly works, so everybody would say that the network is not very good. And on the screen? The second is plainly
# black, the others only look bold and thin. So state the range, and assert it where data come in.
#
# ## 7 The stop button
#
# Now the computer drags. Below, ten digits are given that the generator has never seen. From all sliders at 0, each step
# nudges every slider a little to where the picture gets more similar. (This is learning by gradient descent; lesson 10
# derives it, line by line.) How similar is measured by the squared difference, summed over the pixels.
#
# **Predict.** Which of the ten digits will it match well, and what will be missing?
#
# **And stop it.** While the bar is running, press ■ at the top (or I twice). What is learnt by then stays: `run.history`
# and the sliders. Nobody has to wait for a training, here or later; and if you let it run, it ends by itself.

# %% tags=["core"]
from course_lib import training

wanted, labels = chosen.float()[:10], chosen.labels[:10]
at = torch.zeros(10, firstlook.NUMBERS, requires_grad=True)  # where the sliders stand
optimiser = torch.optim.Adam([at], lr=0.0007)
steps = profile(smoke=50, standard=12000)


def look(run):
    """Draw the digits that are wanted above those that the sliders give at present."""
    now = model(firstlook.shares(labels), at.detach())
    return plots.compare({"wanted": wanted, "drawn": now}, value_range=(0, 1), scale=2)


with training.progress(steps, view=look, every=0.5, label="dragging") as run:
    for _ in run:
        now = model(firstlook.shares(labels), at)
        loss = (now - wanted).square().sum(dim=(1, 2, 3)).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        run.log(loss=loss)

losses = run.history["loss"][1]
print(f"stopped by hand: {run.interrupted}; kept: {len(losses):,} losses, and the sliders")
print(f"squared difference: {losses[0]:.1f} before, {losses[-1]:.1f} now")
fig = plots.curves(run.history, xlabel="step", ylabel="squared difference", log=True)
assert losses[-1] <= losses[0]

# %% [markdown] tags=["core"]
# Slant, width and thickness fit; an unusual letter form or a trembling line it cannot say with so few numbers. What a
# model cannot describe it cannot draw.

# %% [markdown] tags=["core", "workshop"]
# ## 8 Your machine, profiles, routes
#
# **Predict.** How many multiplications does your machine do in a second? A million, a billion, a hundred billion?

# %% tags=["core", "workshop"]
from course_lib import doctor

dev = device.pick_device()
a = torch.randn(1000, 1000, device=dev)
with device.measure() as cost:
    for _ in range(20):
        a = (a @ a) / 1000  # a thousand million multiplications, and as many additions
    device.synchronise(dev)
print(f"{20 / cost.seconds:.0f} billion multiplications a second on device {dev}")
print(f"layers that this device computes wrongly: {', '.join(device.self_test(dev)) or 'none'}")
for ask in (doctor.memory, doctor.cores):
    print(*(f"doctor, {ask.__name__}: {mark} {text}" for mark, text in ask()))
print(f"profile {settings.profile_name()}, data {settings.data_name()}")

# %% [markdown] tags=["core", "workshop"]
# Billions, on any machine of the last ten years. That is why a network can look at 60,000 pictures in seconds, and why no
# lesson needs more than two processor cores. The second and the later lines are part of what the **doctor** tells:
# `python3 -m course_lib doctor` looks at the whole machine and says for each fault what to do.
#
# How long a training takes is set by the **profile**, an environment variable. Try it: type `%env COURSE_PROFILE=smoke` into
# a new cell, run it, and run the cell above again; then back, with `standard`.
#
# | profile | for |
# |---|---|
# | `smoke` | does every line run? seconds; nothing is learnt |
# | `standard` | the pictures in these notebooks; at most four minutes a lesson |
# | `full` | a GPU, or patience |
#
# And there are three **routes**. `lab` opens everything. `lab --route core` leaves out what is headed *deeper*. `lab --route
# workshop` is the short way for 90 minutes with others. Your edits are kept: no update of the course overwrites them.
#
# ## 9 Where do you start?
#
# Five questions, one letter each. You need not know any of it: the course explains all of it, in this order.
#
# 1. $L(w) = (w - 3)^2$, and $w = 5$. Where is $w$ after one step of gradient descent with the rate 0.1?
#    **a** 5.4, **b** 4.6, **c** 4.8, **d** 3
# 2. $y = \max(0, w x)$ with $x = 2$, $w = -1$; the loss is $(y - 1)^2$. What is its derivative in $w$?
#    **a** 0, **b** -4, **c** 4, **d** 2
# 3. A layer of 3x3 convolutions, 8 channels in, 16 out, no bias. How many weights?
#    **a** 9, **b** 144, **c** 216, **d** 1,152
# 4. A transposed convolution with kernel 4, stride 2 and padding 1 gets 7x7 pixels. What comes out?
#    **a** 3x3, **b** 7x7, **c** 14x14, **d** 16x16
# 5. A network with batch norm, left in training mode, gives the same picture two answers. The weights are the same. Why?
#    **a** rounding, **b** the other pictures of the batch, **c** the learning rate, **d** its random first weights
#
# Put your letters between the quotation marks, as in `{1: "a", ...}`; leave empty what you do not know.

# %% tags=["core", "workshop"]
answers = {1: "", 2: "", 3: "", 4: "", 5: ""}
print(checks.start_here.where_to_start(answers))

# %% [markdown] tags=["deeper"]
# ## 10 Deeper: what do the sliders do? Measure it
#
# In section 1 you gave the sliders names. Are they right? Names become numbers with a ruler. Let $x$ and $y$ be column and
# row of a pixel, weighted by its ink. A pen that slants by $s$ moves what is higher up by $s$ to the right,
# $x = x_0 - s\,y$ (rows count downwards), so
#
# $$ \operatorname{cov}(x, y) = \operatorname{cov}(x_0, y) - s \operatorname{var}(y), \qquad
#    -\frac{\operatorname{cov}(x, y)}{\operatorname{var}(y)} = s + \text{a number of the letter form}. $$
#
# **Predict.** The digits of the pen know their true slant. How well will this ruler, which sees pixels only, agree?

# %% tags=["deeper"]
def measure(pictures):
    """Return ink, lean and width of pictures (N, 1, H, W) in 0..1: three numbers each, (N, 3)."""
    x = pictures[:, 0]
    row, column = torch.meshgrid(torch.arange(28.0), torch.arange(28.0), indexing="ij")
    ink = x.sum(dim=(1, 2))

    def mean(values):
        return (x * values).sum(dim=(1, 2)) / ink

    y = row - mean(row)[:, None, None]
    x_off = column - mean(column)[:, None, None]
    lean = -mean(x_off * y) / mean(y * y)
    return torch.stack([ink, lean, mean(x_off**2).sqrt()], dim=1)


measured = measure(test.float())
slant, turn = test.factors["slant"], torch.deg2rad(test.factors["rotation"])
for digit in (0, 1, 3):
    k = test.labels == digit
    pair = torch.stack([slant[k], slant[k] + turn[k], measured[k, 1]])
    alone, with_turn = torch.corrcoef(pair)[:2, 2].tolist()
    print(f"{digit}: lean against slant {alone:.2f}, against slant + rotation {with_turn:.2f}")
    assert alone > 0.6

# %% tags=["deeper"]
effects = []
for k in range(firstlook.SLIDERS):
    ends = torch.zeros(2, 10, firstlook.NUMBERS)
    ends[0, :, k], ends[1, :, k] = -1, 1
    low, high = (measure(model(torch.eye(10), numbers)) for numbers in ends)
    effects.append(((high - low) / measured.std(dim=0)).mean(dim=0))
effects = torch.stack(effects)  # (4 sliders, 3 rulers)
names = [f"slider {k + 1}" for k in range(firstlook.SLIDERS)], ["ink", "lean", "width"]
fig = plots.heatmap(
    effects, xlabel="change of", ylabel="from -1 to 1", ticks=names,
    unit="standard deviations of real digits",
)
assert effects.abs().argmax(dim=1)[:3].tolist() == [1, 2, 0] and effects[3].abs().max() < 0.5

# %% [markdown] tags=["deeper"]
# The ruler agrees well, not perfectly: a turned digit leans too (for the ones, adding the true rotation helps most), and
# the letter form has a lean of its own. It is a ruler that sees pixels only, tested where the truth is known, and now it
# may be used where nobody knows it. Slider 1 is the slant; 2 is the width, and with it the ink; 3 is the thickness. Slider 4
# moves none of the three: it changes the form of the letter, for which we built no ruler. What is not measured
# does not show.
#
# ## 11 Deeper: paint with a mask
#
# A **mask** is a picture that says where: 1 here, 0 there, and at a soft edge something in between, which means *a share*.
# Painting takes that share of the picture away and puts as much of the colour in its place:
#
# $$ \text{new} = (1 - m)\, \text{picture} + m\, \text{colour} . $$
#
# It is worth a cell of its own: in part 5, a hole in a photograph is a mask.
#
# <details><summary>Hint 1</summary>The colour is three numbers, the picture (3, H, W): <code>colour[:, None, None]</code>. The mask
# (1, H, W) fits as it is.</details>
# <details><summary>Hint 2</summary><code>return (1 - mask) * picture + mask * colour[:, None, None]</code></details>

# %% tags=["deeper", "export", "exercise"]
def paint(picture, colour, mask):
    """Paint a colour (3,) onto a picture (3, H, W), as much as mask (1, H, W) in 0..1 says."""
    ### TODO: a share 1 - mask of the picture and a share mask of the colour
    ### BEGIN SOLUTION
    return (1 - mask) * picture + mask * colour[:, None, None]
    ### END SOLUTION


# %% tags=["deeper"]
paint = checks.start_here.paint(paint)
cream = torch.tensor([1.0, 0.93, 0.78])


def barista(digit, size):
    """Pour a digit of the generator onto the coffee."""
    mask = torch.zeros(1, 400, 600)
    high, wide = int(0.72 * size), size  # the cup is seen from the side
    drawing = model(firstlook.shares(digit), torch.zeros(1, firstlook.NUMBERS))[0]
    spot = mask[:, 150 - high // 2 :, 290 - wide // 2 :]
    spot[:, :high, :wide] = images.resize(drawing, high, wide)
    cup = to_float(datasets.photograph("coffee"))
    return paint(cup, cream, 0.85 * mask)[None, :, 20:360, 60:500]


scales = {"digit": (0.0, 9.0, 8.0, 0.1), "size": (40, 130, 110)}
explore.View(barista, [explore.slider(name, *scale) for name, scale in scales.items()])

# %% [markdown] tags=["deeper"]
# ## 12 Deeper: exercises
#
# **A. Predict (★, 5 minutes): stretched (E4).** Many tools show each picture from its own darkest to its own brightest value. Here
# are five digits at a twentieth of their brightness, and five pictures of nothing but faint noise. What does such a
# tool make of the ten?
#
# <details><summary>Hint 1</summary>What becomes of the largest value of each picture?</details>
# <details><summary>Hint 2</summary>And what of a picture in which there is nothing to see?</details>

# %% tags=["deeper"]
noise = 0.05 * torch.rand(5, 1, 28, 28, generator=generator)
faint = torch.cat([0.05 * test.float()[:5], noise])
low, high = faint.amin(dim=(2, 3), keepdim=True), faint.amax(dim=(2, 3), keepdim=True)
stretched = (faint - low) / (high - low)
fig = plots.compare({"as they are": faint, "stretched": stretched}, value_range=(0, 1), scale=2)

# %% [markdown] tags=["deeper"]
# <details><summary>Answer to A</summary>All ten look strong. A generator that has gone nearly black looks well, and noise that nobody
# could see looks like a catastrophe. That is why <code>plots.show_images</code> of this course refuses to guess: it wants a
# <code>value_range</code>, and raises an error if a value lies outside.</details>
#
# **B. Debug (★★, 10 minutes).** A colleague averages pictures with this function, and all averages look like
# noise. It has two faults; the second is small. Find both, then write it right.
#
# ```python
# def average(images):
#     total = torch.zeros_like(images[0])
#     for image in images:
#         total += image
#     return total // len(images)
# ```
#
# <details><summary>Hint 1</summary>Which type does <code>total</code> have? What is 200 + 100 in it?</details>
# <details><summary>Hint 2</summary><code>images.float().mean(dim=0)</code> has neither fault.</details>

# %% tags=["deeper", "export", "exercise"]
def average(images):
    """Return the average float32 (C, H, W), from 0 to 255, of images uint8 (N, C, H, W)."""
    ### TODO: the function above without its two faults
    ### BEGIN SOLUTION
    return images.float().mean(dim=0)
    ### END SOLUTION


# %% tags=["deeper"]
average = checks.start_here.average(average)
averages = torch.stack([average(train.images[train.labels == k]) for k in range(10)]) / 255
middle = model(torch.eye(10), torch.zeros(10, firstlook.NUMBERS))
fig = plots.compare({"average": averages, "sliders at 0": middle}, value_range=(0, 1), scale=2)

# %% [markdown] tags=["deeper"]
# The average five is a fog of all fives: nobody writes like that. With all sliders at 0 the generator draws one clear five from
# the middle of all: it mixes slants, not pixels. (In lesson 10, the ten averages are your first classifier.)

# %% [markdown] tags=["core", "workshop"]
# ## 13 To discuss, and to keep
#
# <details><summary><b>E4.</b> A tool shows each picture from its own darkest to its own brightest value. What can you no longer
# see?</summary>How bright a picture is, and whether there is anything in it: faint noise looks like a strong pattern. A fixed
# range shows it.</details>
# <details><summary><b>G15.</b> A generator makes numbers from -1 to 1. Its samples, saved as pictures, are far too dark, and everybody looks
# for the fault in the training. Where is it?</summary>In the saving: half of the range lies below 0 and was clipped to
# black. to_bytes(x, -1, 1) knows the range.</details>
# <details><summary>A program picks one of the 60,000 training digits at random and shows it. All of its pictures are perfect. Is it a good
# generator?</summary>It makes nothing new, and between a 3 and a 4 it has nothing at all. So a generator is measured in
# several ways: do the pictures look right, are they new, and are all kinds of them there?</details>
#
# **Summary**
#
# - A picture is a table of numbers in a stated range. A generator is a function from a few numbers to such a table. To learn
#   is to move numbers until the pictures fit.
# - Bytes for storing, floats for computing; round and clip on the way back. State the range, and assert it.
# - Grey is a weighted sum of the colours. A histogram forgets where, and still knows what kind of picture it is.
# - A generator answers for every input, also between what it has seen; it need not be a copy of anything.
# - ■ stops a training and keeps what is learnt. A check says what is wrong; a hint is no shame.
#
# **Later lessons can import** `to_float`, `to_bytes`, `to_grey` and `paint`. **Limits:** grey by BT.601 weights the stored, not the physical,
# brightness; the generator knows one pen and ten digits; four of its eight numbers have no slider here.
#
# **Sources.** Recommendation ITU-R BT.601-7, section 2.5 (the weights of grey) · Porter and Duff (1984), *Compositing digital
# images*, section 4 (painting with a mask) · Kingma and Welling (2014), *Auto-encoding variational Bayes*, section 3, and Sohn, Lee
# and Yan (2015), *Learning structured output representation using deep conditional generative models*, section 4 (the
# generator) · LeCun et al. (1998), *Gradient-based learning applied to document recognition*, section III (real digits).
