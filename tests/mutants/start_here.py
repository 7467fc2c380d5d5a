"""Lesson 00: ranges and types, weights of colours, counts, masks, sums that do not fit."""

from tests.mutants import Mutant

TOPIC = "start_here"

MUTANTS = [
    # to_float
    Mutant("E1 no division", "to_float", " / 255", "", "divide by 255, so that white is 1"),
    Mutant("E1 twice", "to_float", "/ 255", "/ 255 / 255", "divided by 255 twice"),
    Mutant("256", "to_float", "/ 255", "/ 256", "There are 256 bytes"),
    Mutant("E6 ignored", "to_float", "low + (high - low) * ", "", "accepted and ignored"),
    Mutant("E6 fixed", "to_float", "low + (high - low) * x.float() / 255", "x.float() / 127.5 - 1",
           "black and white should become 0 and 1"),
    Mutant("no low", "to_float", "low + (high", "(high", "then add low"),
    Mutant("E4 stretched", "to_float", "/ 255", "/ x.max()", "a dark picture stays dark"),
    Mutant("whole", "to_float", "low + (high - low) * x.float() / 255",
           "(low + (high - low) * (x // 255)).byte()", "Bytes cannot hold"),
    Mutant("double", "to_float", "x.float()", "x.double()", "float32"),
    # to_bytes
    Mutant("cut", "to_bytes", ".round()", "", "Round first"),
    Mutant("no clamp", "to_bytes", ".clamp(0, 255)", "", "wrapped around"),
    Mutant("E6 ignored", "to_bytes", "255 * (x - low) / (high - low)", "255 * x", "do not come back"),
    Mutant("E6 low", "to_bytes", "(x - low)", "x", "subtract low"),
    Mutant("not stretched", "to_bytes", " / (high - low)", "", "divide by (high - low)"),
    Mutant("floats", "to_bytes", ".to(torch.uint8)", "", "uint8"),
    Mutant("no 255", "to_bytes", "255 * (x - low)", "(x - low)", "multiply by 255"),
    Mutant("E4 stretched", "to_bytes", "(x - low) / (high - low)", "(x - x.min()) / (x.max() - x.min())",
           "its own largest value"),
    # to_grey
    Mutant("mean", "to_grey", "(weights[:, None, None] * x).sum(", "x.mean(", "plain mean"),
    Mutant("BGR", "to_grey", "weights[:, None, None] * x", "weights.flip(0)[:, None, None] * x", "BGR"),
    Mutant("no axis", "to_grey", ", keepdim=True", "", "keepdim=True"),
    Mutant("rows", "to_grey", "weights[:, None, None]", "weights[:, None]", "two more axes"),
    Mutant("no weights", "to_grey", "weights[:, None, None] * x", "x", "sum to 1"),
    Mutant("squares", "to_grey", "* x)", "* x**2)", "mixed ones"),
    # count_greys
    Mutant("short", "count_greys", ", minlength=256", "", "minlength"),
    Mutant("once", "count_greys", "torch.bincount(x.flatten(), minlength=256)",
           "torch.zeros(256).index_fill(0, x.flatten().long(), 1)", "counted once"),
    Mutant("shares", "count_greys", "minlength=256)", "minlength=256) / x.numel()", "shares"),
    Mutant("first image", "count_greys", "x.flatten()", "x[0].flatten()", "of all images"),
    Mutant("shifted", "count_greys", "minlength=256)", "minlength=256).roll(1)", "wrong places"),
    Mutant("last bin", "count_greys", "torch.bincount(x.flatten(), minlength=256)",
           "torch.bincount(x.flatten().clamp(max=254), minlength=256)", "entry of its own"),
    Mutant("present", "count_greys", "torch.bincount(x.flatten(), minlength=256)",
           "x.unique(return_counts=True)[1]", "zeros included"),
    # paint
    Mutant("R1 inverted", "paint", "(1 - mask) * picture + mask * colour",
           "mask * picture + (1 - mask) * colour", "wrong way round"),
    Mutant("added", "paint", "(1 - mask) * picture", "picture", "added to what was there"),
    Mutant("yes or no", "paint", "(1 - mask) * picture + mask * colour",
           "(mask <= 0.5) * picture + (mask > 0.5) * colour", "three tenths"),
    Mutant("columns", "paint", "colour[:, None, None]", "colour", "one number for each channel"),
    Mutant("squared", "paint", "mask * colour", "mask**2 * colour", "in between"),
    Mutant("in place", "paint", "(1 - mask) * picture", "picture.mul_(1 - mask)", "was changed"),
    Mutant("everywhere", "paint", "(1 - mask) * picture", "(1 - mask) * picture * 0.9",
           "nothing of the picture"),
    # average
    Mutant("wrapped", "average", "images.float().mean(dim=0)",
           "images.sum(dim=0, dtype=torch.uint8).float() / len(images)", "wrapped around"),
    Mutant("whole", "average", "images.float().mean(dim=0)",
           "(images.float().sum(dim=0) // len(images))", "decimals are cut off"),
    Mutant("bytes", "average", ".mean(dim=0)", ".mean(dim=0).byte()", "return floats"),
    Mutant("sum", "average", ".mean(dim=0)", ".sum(dim=0)", "this is the sum"),
    Mutant("range", "average", ".mean(dim=0)", ".mean(dim=0) / 255", "0 to 255"),
    Mutant("all", "average", ".mean(dim=0)", ".mean()", "first axis"),
    Mutant("median", "average", ".mean(dim=0)", ".median(dim=0).values", "counts once"),
]  # fmt: skip

# Right answers, written differently: a check that rejects one of these is a false alarm.
ALTERNATIVES = {
    "to_float": [("low + (high - low) * x.float() / 255", "torch.lerp(torch.tensor(float(low)), torch.tensor(float(high)), x / 255)"),
                 ("low + (high - low) * x.float() / 255", "x.float() * ((high - low) / 255) + low")],
    "to_bytes": [(".round().clamp(0, 255)", ".clamp(0, 255).round()"),
                 ("b.round().clamp(0, 255).to(torch.uint8)", "(b.clamp(0, 255) + 0.5).floor().byte()")],
    "to_grey": [("(weights[:, None, None] * x).sum(dim=1, keepdim=True)",
                 "torch.einsum('c,bchw->bhw', weights, x)[:, None]"),
                ("(weights[:, None, None] * x).sum(dim=1, keepdim=True)",
                 "torch.nn.functional.conv2d(x, weights.view(1, 3, 1, 1))")],
    "count_greys": [("torch.bincount(x.flatten(), minlength=256)",
                     "torch.stack([(x == value).sum() for value in range(256)])"),
                    ("torch.bincount(x.flatten(), minlength=256)",
                     "torch.histc(x.float(), bins=256, min=-0.5, max=255.5)")],
    "paint": [("(1 - mask) * picture + mask * colour[:, None, None]",
               "picture + mask * (colour.view(3, 1, 1) - picture)"),
              ("(1 - mask) * picture + mask * colour[:, None, None]",
               "torch.lerp(picture, colour[:, None, None].expand_as(picture), mask.expand_as(picture))")],
    "average": [("images.float().mean(dim=0)", "sum(image.float() for image in images) / len(images)"),
                ("images.float().mean(dim=0)", "images.double().mean(0)")],
}  # fmt: skip

# Rows of the catalogue that are questions in the lesson's text rather than code.
QUESTIONS = ["E4", "G15"]
