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
# You will drag a trained generator with six sliders, take its pictures apart into numbers, and build the first small
# functions of this course.
#
# ![An eight, drawn by a generator, poured on a photographed cup of coffee](../data/pictures/00-042.jpg)
#
# | | |
# |---|---|
# | **You need** | a little Python; nothing about networks |
# | **Time** | 45 minutes for the core, 30 more for the rest; the notebook itself runs in under a minute on two cores |
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
# `digit` says what to draw. Each numbered slider changes something about it. Nobody told it what: a network looked at
# 60,000 digits, drawn by a program, the *pen* (section 3), and had to describe each with eight numbers. Four of them are
# the sliders, the strongest first; `hand` throws dice for the other four. The strips at the right show what each slider
# alone would do. Find a name for each, and try the names on another digit. (Lesson 31 trains such a network.)
#
# <details><summary>Our names</summary>1 slant, 2 width, 3 thickness, 4 the form of the letter. Section 10 (deeper) measures
# whether they are right.</details>
#
# When you are through, you can
#
# 1. turn bytes into numbers of a stated range and back, and lose nothing,
# 2. turn colour into grey with the weights that television uses,
# 3. stop a training and keep what it has learnt,
# 4. say at which lesson you begin,
# 5. and, in a *deeper* part, count the greys of a picture and say from the counts what kind of picture it is.
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
# has an answer for every input, also for one that nobody gave it before; whether it is any good is another question.
#
# **Predict.** Or does it merely hand out digits that it has learnt by heart? Below are ten digits at random
# sliders and, under each, the most similar of its training digits; their *distance* is the root of the summed squared
# differences of the pixels. Will they be the same? And how many of 1,000 such digits will a second network, one that reads
# (lesson 14), read as the digit that was asked for?

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
print(f"distance to the nearest of {len(train):,} training digits: {far.mean():.2f}")
print(f"the same for new digits of the pen: {usual:.2f}")

reader = CNN()
trained.load("cnn", reader, "strokes")


def read(pictures):
    """Return the digits (N,) that the reader sees in pictures (N, 1, 28, 28)."""
    with torch.no_grad():
        return reader.eval()(pictures).argmax(dim=1)


for name, x, y in (("generator", drawn, asked), ("pen", test.float(), test.labels)):
    print(f"drawn by the {name}: {(read(x) == y).double().mean():.1%} read as they should be")
answers = read(drawn)
wrong = (answers != asked).nonzero()[:10, 0]
labels = [f"asked {asked[i]} read {answers[i]}" for i in wrong]
fig = plots.show_images(drawn[wrong], value_range=(0, 1), columns=10, labels=labels)
assert (answers == asked).double().mean() > 0.9 and far.min() > 0.5

# %% [markdown] tags=["core", "workshop"]
# Similar, but not the same: they lie about as far from what it was trained on as new digits of the same pen do, and a
# copy would lie at 0. It has not learnt them by heart. And nearly all are read as asked, though not as many as of the pen's
# own. The second picture shows some that failed: they look like another digit, or like none. How to measure a generator is
# half of this course: always beside something that you know.
#
# ## 2 A picture is a table of numbers
#
# What has been drawn are numbers. On a disk, a grey picture is a table of **bytes**, whole numbers from 0 (black) to 255
# (white); torch calls the type `uint8`. Many pictures make one *tensor*, torch's table with any number of axes: here
# (N, C, H, W), N pictures, C channels (1 for grey, 3 for red, green, blue), H rows, W columns.
#
# **Predict.** Which numbers will you see in the middle of a stroke, and which at its edge?

# %% tags=["core", "workshop"]
one = test.images[:1]
assert one.shape == (1, 1, 28, 28) and one.dtype == torch.uint8 and test.value_range == (0, 255)
print(f"shape {tuple(one.shape)}, type {one.dtype}, from {one.min()} to {one.max()}")
fig = plots.heatmap(
    one[0, 0, 8:20, 8:20], xlabel="column", ylabel="row", value_range=(0, 255),
    ticks=range(8, 20), caption="The middle of a digit; here, blue is ink.",
    alt="Bytes of 12 x 12 pixels: 255 within the strokes, 0 on the paper, others at the edges.",
)

# %% [markdown] tags=["core", "workshop"]
# Full ink in the middle and everything in between at the edge: the in-between is what makes it look smooth.
#
# Networks want other numbers: small ones with decimals (`float32`), from a `low` to a `high` end, most often 0 to 1 or
# -1 to 1. What is the rule? A straight line $y = a\,b + c$ through two points: the byte 0 becomes low, so $c = \text{low}$; the byte 255
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
# below the check lies the solution. Codes such as E1 or G15 number mistakes that were found in real code; the checks
# are tested against them.
#
# <details><summary>Hint 1</summary>Decimals first: <code>x.float()</code> makes float32 numbers of bytes. Then the
# formula.</details>
# <details><summary>Hint 2</summary><code>return low + (...) * x.float() / ...</code></details>

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
# In real projects this happens, and nothing crashes.
#
# **Your turn (★, 4 minutes): now back.** Write `to_bytes`; return the nearest bytes. A byte holds nothing above 255: one
# more, and it starts again at 0, like an old car's odometer. And making whole numbers cuts the decimals off.
#
# **Predict.** What is 200 + 100 in bytes? What does 254.7 become?
#
# <details><summary>Hint 1</summary>Solve for b, as above. Then round. Then keep everything within 0 and 255. Only then make
# bytes of it.</details>
# <details><summary>Hint 2</summary>With the formula's <code>b</code>: <code>b.round()</code>, then
# <code>.clamp(..., ...)</code>, then <code>.to(torch.uint8)</code>.</details>

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
    test.images[:10], value_range=(0, 255), columns=5, scale=4,
    labels=[f"slant {s:+.2f}, thickness {t:.1f}" for s, t in zip(slant, thick, strict=True)],
    caption="Ten digits with what is true of them; the thickness is in pixels.",
)
print(f"what the pen is told of each digit: {', '.join(test.factors)}")


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
# *found*: nobody wrote a program that slants a three. Eight numbers go a long way, since the pen itself is told little more:
# see the line above. (`noise` is its tremble, new for every digit.) Finding such numbers is what this course is about.
#
# ## 4 Colour, and grey
#
# A photograph has three channels. How bright is a colour? The simplest thing that could work is the plain mean
# of red, green and blue. **Predict.** Pure red, pure green and pure blue, made grey by the plain mean: which looks
# brightest? And to your eye?

# %% tags=["core"]
scenes = ("chelsea", "coffee", "rocket")
photos = torch.stack([images.fit(datasets.photograph(name), 132) for name in scenes])
stripes = torch.eye(3).repeat_interleave(44, dim=1)  # red, green, blue from top to bottom
stripes = stripes[None, :, :, None].expand(1, 3, 132, 132)
colours = torch.cat([to_float(photos), stripes])  # (4, 3, 132, 132)
means = colours.mean(dim=1, keepdim=True)  # (4, 1, 132, 132)
looks = {"colour": colours, "plain mean": means.expand(-1, 3, -1, -1)}
fig = plots.compare(looks, value_range=(0, 1), scale=1)
for name, row in {"red": 20, "green": 66, "blue": 110}.items():
    print(f"pure {name} becomes a grey of {means[3, 0, row, 0]:.3f}")

# %% [markdown] tags=["core"]
# None: by the plain mean all three become the same grey, and the stripes vanish. The eye sees green far brighter than
# blue. The weights that television settled on (ITU-R BT.601) are in `images.LUMA`:
#
# $$ \text{grey} = 0.299\, R + 0.587\, G + 0.114\, B . $$
#
# They sum to 1, so that white stays white.
#
# | symbol | variable | shape |
# |---|---|---|
# | $R, G, B$ | `x`, channels 0, 1, 2 | (N, 3, H, W) |
# | the three weights | `weights` | (3,) |
#
# To multiply tensors of different shapes, torch matches the axes from the right: three weights alone would meet the
# columns. `weights[:, None, None]` has the shape (3, 1, 1), and each weight meets a whole channel.
#
# **Your turn (★, 4 minutes).** Write `to_grey`; return one grey channel, (N, 1, H, W).
#
# <details><summary>Hint 1</summary>Multiply each channel by its weight. Then add up over the axis of the channels, number
# 1.</details>
# <details><summary>Hint 2</summary><code>return (... * x).sum(dim=..., keepdim=True)</code>; <code>keepdim</code> leaves the
# axis there, with one channel.</details>

# %% tags=["core", "export", "exercise"]
def to_grey(x):
    """Return the brightness (N, 1, H, W) of colours (N, 3, H, W), 0 is black. ITU-R BT.601."""
    weights = torch.tensor(images.LUMA, dtype=x.dtype)  # red, green, blue
    ### TODO: weight the channels, add them up, keep the axis
    ### BEGIN SOLUTION
    return (weights[:, None, None] * x).sum(dim=1, keepdim=True)
    ### END SOLUTION


# %% tags=["core"]
to_grey = checks.start_here.to_grey(to_grey)
looks["to_grey"] = to_grey(colours).expand(-1, 3, -1, -1)
fig = plots.compare(looks, value_range=(0, 1), scale=1)

# %% [markdown] tags=["deeper"]
# ## 5 Deeper: count the greys
#
# A **histogram** says how often each of the 256 bytes occurs. It forgets where, and it is surprising how much it
# still knows.
#
# **Predict.** Sketch two histograms: of the digits, and of the photographs in grey. Where are the peaks?
#
# **Your turn (★, 3 minutes).** Write `count_greys`; return 256 counts, over all pixels of all pictures.
#
# <details><summary>Hint 1</summary><code>torch.bincount</code> counts how often each whole number occurs in a list. Make a
# list of the pixels: <code>x.flatten()</code>.</details>
# <details><summary>Hint 2</summary>The counts of <code>torch.bincount(...)</code> end at the largest byte that occurs,
# unless you add <code>minlength=...</code></details>

# %% tags=["deeper", "export", "exercise"]
def count_greys(x):
    """Return how often each byte from 0 to 255 occurs in images uint8 (...): (256,) counts."""
    ### TODO: 256 counts over all pixels
    ### BEGIN SOLUTION
    return torch.bincount(x.flatten(), minlength=256)
    ### END SOLUTION


# %% tags=["deeper"]
count_greys = checks.start_here.count_greys(count_greys)
grey = to_bytes(to_grey(to_float(photos)))
digits = datasets.load(settings.data_name(), "test", size=1000)
counts = {settings.data_name(): count_greys(digits.images), "photographs": count_greys(grey)}
shares = {name: 100 * n / n.sum() for name, n in counts.items()}
fig = plots.curves(shares, xlabel="byte", ylabel="% of the pixels", log=True)
for name, share in shares.items():
    print(f"{name}: {share[0]:.1f} % black, {share[255]:.1f} % white, the rest between")
assert shares[settings.data_name()][0] > shares["photographs"][0]

# %% [markdown] tags=["deeper"]
# The digits: a high peak at black, a smaller one near white, little between. The photographs: one broad hill, thinning out
# toward white. (The scale is logarithmic: each labelled line is ten times the one below.) A generator of digits that
# paints grey fog has learnt something wrong, and the histogram says so.

# %% [markdown] tags=["core"]
# ## 6 Break it on purpose: ranges (E1, E6)
#
# Four ways to hand the same digits to the network that reads. The first is right: 0 to 1. Then, divided once too often or
# never (both are E1): by 255 twice, and the bytes as they are, only as floats. Last (E6): -1 to 1. **Predict** for each: does
# it still read? Does anything crash?

# %% tags=["core"]
ways = {
    "right": to_float(test.images),
    "twice (E1)": to_float(test.images) / 255,
    "bytes (E1)": test.images.float(),
    "-1..1 (E6)": to_float(test.images, -1, 1),
}
reads = {}
for name, x in ways.items():
    answers = read(x)
    reads[name] = (answers == test.labels).double().mean().item()
    often = answers.mode().values
    print(f"{name}: from {x.min():g} to {x.max():.4g}, {reads[name]:.1%} read rightly; ", end="")
    print(f"most often as a {often}, {(answers == often).sum()} times of {len(answers)}")
shown = {name: x[:10].clamp(0, 1) for name, x in ways.items()}
caption = "As a screen shows them: what sticks out is clipped."
fig = plots.compare(shown, value_range=(0, 1), scale=2, caption=caption)
assert reads["right"] > 0.95 > 0.2 > reads["twice (E1)"]
assert reads["right"] > max(reads["bytes (E1)"], reads["-1..1 (E6)"])

# %% [markdown] tags=["core"]
# Nothing crashes, and nothing is read as well as the first. Divided twice, all is nearly black, and the reader gives the
# same answer every time: it is right where that happens to be the digit. At -1 to 1 the paper is darker than any paper it has ever seen, and half-inked pixels have turned into paper. The most dangerous way is
# the third: it nearly works, so everybody would say that the network is not very good. And on the screen? The second is plainly
# black, the others only look bold and thin. So state the range, and assert it where data come in.
#
# ## 7 The stop button
#
# Now the computer drags. Below, ten digits are given that the generator has never seen. From all numbers at 0, each step
# nudges all eight of each digit, the four of the sliders and the four of `hand`, to where the picture gets more similar.
# (This is learning by gradient descent; lesson 10 derives it, line by line.) How similar is measured by the squared
# difference, summed over the pixels: it stands under each digit. Nothing keeps the numbers within the sliders' range.
#
# **Predict.** Which of the ten digits will it match well, and what will be missing?
#
# **And stop it.** While the bar is running, press ■ at the top (or I twice). What is learnt by then stays: `run.history`
# and the numbers. If you let it run, it ends by itself.

# %% tags=["core"]
from course_lib import training

chosen = datasets.load(settings.data_name(), "test", size=1000)
wanted, labels = chosen.float()[:10], chosen.labels[:10]
at = torch.zeros(10, firstlook.NUMBERS, requires_grad=True)  # where the numbers stand
optimiser = torch.optim.Adam([at], lr=0.0007)
steps = profile(smoke=50, standard=12000)


def apart(drawn):
    """Return the squared difference of each digit that is drawn from the one that is wanted."""
    return (drawn - wanted).square().sum(dim=(1, 2, 3))


def look(run):
    """Draw the digits that are wanted above those that the numbers give at present."""
    now = model(firstlook.shares(labels), at.detach())
    below = ["wanted"] * 10 + [f"{one:.1f}" for one in apart(now)]
    both = torch.cat([wanted, now])
    return plots.show_images(both, value_range=(0, 1), columns=10, labels=below)


with training.progress(steps, view=look, every=0.5, label="dragging") as run:
    for _ in run:
        loss = apart(model(firstlook.shares(labels), at)).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        run.log(loss=loss)

# %% tags=["core"]
losses = run.history["loss"][1]
print(f"stopped by hand: {run.interrupted}; kept: {len(losses):,} losses, and the numbers")
print(f"all black would be {apart(torch.zeros(1)).mean():.1f}, numbers at 0 {losses[0]:.1f}", end="")
print(f", half-way {losses[len(losses) // 2]:.1f}, at the end {losses[-1]:.1f}")
each = apart(model(firstlook.shares(labels), at.detach()))
for name, k in {"best": each.argmin(), "worst": each.argmax()}.items():
    print(f"matched {name}: number {k + 1} from the left, a {labels[k]} ({each[k]:.1f})")
print(f"largest number {at.abs().max():.1f}; the sliders end at {firstlook.REACH}")
fig = plots.curves(run.history, xlabel="step", ylabel="squared difference", log=True)
assert losses[-1] <= losses[0]

# %% [markdown] tags=["core"]
# When it has run to its end, slant, width and thickness fit. What is missing is what is unusual about a hand: its own letter
# form, a corner in a stroke. The best and the worst are named above; look at both. What a model cannot describe it cannot
# draw. And the second half changes little: a good moment to press ■.

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
# Billions, most likely. Some of the lines come from the **doctor**: `python3 -m course_lib doctor` looks at the whole
# machine, and says for each fault what to do.
#
# How long a training takes is set by the **profile**. `%env COURSE_PROFILE=smoke` in a new cell changes it: run the cell above
# again, and the last line names the new one. Then back, with `standard`.
#
# | profile | for |
# |---|---|
# | `smoke` | does every line run? seconds; nothing is learnt |
# | `standard` | the pictures in these notebooks; at most four minutes a lesson |
# | `full` | a GPU, or patience |
#
# Three **routes**: `python3 -m course_lib lab` opens everything; `--route core` behind it leaves out what is headed
# *deeper*; `--route workshop` is the short way for 90 minutes with others. Your edits are kept.
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
# Put your letters between the quotation marks, as in `{1: "a", ...}`; leave empty what you do not know. (Lesson 01 is on no
# ladder: it needs a little probability and no networks, so read it at any time before 20.)

# %% tags=["core", "workshop"]
answers = {1: "", 2: "", 3: "", 4: "", 5: ""}
print(checks.start_here.where_to_start(answers))

# %% [markdown] tags=["deeper"]
# ## 10 Deeper: what do the sliders do? Measure it
#
# Are your names of section 1 right? Names become numbers with a ruler. Let $r$ and $c$ be row and
# column of a pixel, counted from the middle of the ink. A pen that slants by $s$ moves what is one row higher by $s$ to the
# right. Rows count downwards, so what is at $c_0$ in the upright letter comes to $c = c_0 - s\,r$. The *variance*
# $\operatorname{var}(r)$ is the mean of $r^2$, the *covariance* $\operatorname{cov}(c, r)$ the mean of $c\,r$, both weighted
# by the ink. Multiply by $r$ and take means:
#
# $$ \operatorname{cov}(c, r) = \operatorname{cov}(c_0, r) - s \operatorname{var}(r), \qquad
#    -\frac{\operatorname{cov}(c, r)}{\operatorname{var}(r)} = s + \text{a number of the letter form}. $$
#
# The left side is our ruler, the **lean**.
#
# | symbol | variable | shape |
# |---|---|---|
# | $r, c$ | `r`, `c` | (N, 28, 28) |
# | $s$ | `slant` | (N,) |
# | lean | `lean` | (N,) |
#
# **Predict.** The digits of the pen know their true slant. How well will this ruler, which sees pixels only, agree? (The
# *correlation* tells: 1 if one number follows the other along a rising line, 0 if it tells nothing about it.)

# %% tags=["deeper"]
def measure(pictures):
    """Return ink, lean and width of pictures (N, 1, H, W) in 0..1: three numbers each, (N, 3)."""
    x = pictures[:, 0]
    row, column = torch.meshgrid(torch.arange(28.0), torch.arange(28.0), indexing="ij")
    ink = x.sum(dim=(1, 2))

    def mean(values):
        return (x * values).sum(dim=(1, 2)) / ink

    r = row - mean(row)[:, None, None]
    c = column - mean(column)[:, None, None]
    lean = -mean(c * r) / mean(r * r)
    return torch.stack([ink, lean, mean(c**2).sqrt()], dim=1)


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
    unit="standard deviations", caption="Of the pen's digits: 1 is their usual spread.",
)
assert effects.abs().argmax(dim=1)[:3].tolist() == [1, 2, 0] and effects[3].abs().max() < 0.5

# %% [markdown] tags=["deeper"]
# The ruler agrees well, not perfectly: a turned digit leans too (for the ones, the true rotation helps most), and
# the letter form has a lean of its own. Tested where the truth is known, it may now be used where nobody knows it. All large
# cells are negative: further right on the slider means less. Slider 1 is the slant; 2 is the width, and with it the ink; 3
# is the thickness. Slider 4 moves none of the three: it changes the form of the letter, for which we built no ruler. What
# is not measured does not show.
#
# ## 11 Deeper: paint with a mask
#
# A **mask** is a picture that says where: 1 here, 0 there, and at a soft edge something in between, which means *a share*.
# Painting takes that share of the picture away and puts as much of the colour in its place:
#
# $$ \text{new} = (1 - m)\, \text{picture} + m\, \text{colour} . $$
#
# | symbol | variable | shape |
# |---|---|---|
# | $m$ | `mask` | (1, H, W), 0 to 1 |
# | picture, colour | `picture`, `colour` | (3, H, W), (3,) |
#
# **Your turn (★★, 4 minutes).** Write `paint`; return the new picture. (In lesson 53, a hole in a photograph is a mask.)
#
# <details><summary>Hint 1</summary>The colour is three numbers, one for each channel, as the weights of section 4 were. The mask
# (1, H, W) fits as it is.</details>
# <details><summary>Hint 2</summary><code>return (1 - mask) * ... + mask * colour[...]</code></details>

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
# noise. It has two faults; the second is small. Say first, in words, what they are. Then write `average` right.
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
# <details><summary>Hint 2</summary>What does <code>//</code> do to 2.6? And does a tensor of floats have a
# <code>.mean(dim=...)</code>?</details>
# <details><summary>The two faults in words</summary>The sum is kept in bytes, since <code>zeros_like</code> takes over their
# type: it wraps around at 256. And <code>//</code> cuts the decimals off.</details>

# %% tags=["deeper", "export", "exercise"]
def average(images):
    """Return the average, floats (C, H, W) from 0 to 255, of images uint8 (N, C, H, W)."""
    ### TODO: the function above without its two faults
    ### BEGIN SOLUTION
    # The sum was kept in bytes, which wrap around; // cut the decimals off.
    return images.float().mean(dim=0)
    ### END SOLUTION


# %% tags=["deeper"]
average = checks.start_here.average(average)
averages = torch.stack([average(train.images[train.labels == k]) for k in range(10)]) / 255
middle = model(torch.eye(10), torch.zeros(10, firstlook.NUMBERS))
fig = plots.compare({"average": averages, "sliders at 0": middle}, value_range=(0, 1), scale=2)

# %% [markdown] tags=["deeper"]
# The average five is a fog of all fives: nobody writes like that. With all sliders at 0 the generator draws one clear
# five: its middle is one digit, the average is all of them at once. (In lesson 10, the ten averages are your first
# classifier.)

# %% [markdown] tags=["core", "workshop"]
# ## 13 To discuss, and to keep
#
# <details><summary><b>E4.</b> A tool shows each picture from its own darkest to its own brightest value. What can you no longer
# see?</summary>How bright it is, and whether there is anything in it at all. A fixed range shows it.</details>
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
# **Later lessons can import** `to_float`, `to_bytes`, `to_grey` and `paint`. **Limits:** grey by BT.601 weights the stored,
# not the physical, brightness; the generator knows one pen and ten digits.
#
# **Sources.** Recommendation ITU-R BT.601-7, section 2.5 (the weights of grey) · Porter and Duff (1984), *Compositing digital
# images*, section 4 (painting with a mask) · Kingma and Welling (2014), *Auto-encoding variational Bayes*, section 3, and Sohn, Lee
# and Yan (2015), *Learning structured output representation using deep conditional generative models*, section 4 (the
# generator) · LeCun et al. (1998), *Gradient-based learning applied to document recognition*, section III (real digits).
