"""Mistakes of lesson 14. Rows C1 to C11 are those of the course's catalogue of bugs."""

from tests.mutants import Mutant

TOPIC = "cnn"

MUTANTS = [
    # train_classifier
    Mutant("C1", "train_classifier", "cross_entropy(model(x), y)",
           "cross_entropy(model(x).softmax(1), y)", "pass the logits"),
    Mutant("C2", "train_classifier", "cross_entropy(model(x), y)",
           "cross_entropy(F.one_hot(y, 10).double(), model(x).softmax(1))", ""),
    Mutant("C6 lr", "train_classifier", "cfg.lr * one_cycle(run.fraction)", "cfg.lr", "one_cycle"),
    Mutant("C6 decay", "train_classifier", ", weight_decay=cfg.weight_decay", ", weight_decay=0.0",
           "weight_decay is accepted and ignored"),
    Mutant("C11", "train_classifier", "run.log(loss=loss)",
           "run.log(loss=loss)\n            run.step += 1", "0, 1, 2"),
    Mutant("gradients kept", "train_classifier", "            optimiser.zero_grad()\n", "",
           "zero_grad"),
    Mutant("no step", "train_classifier", "            optimiser.step()\n", "", "three steps"),
    Mutant("eval mode", "train_classifier", "    model.train()\n    with", "    with",
           "training mode"),
    Mutant("range", "train_classifier", "x = x.float() / 255", "x = x.float()", "255"),
    Mutant("no augmentation", "train_classifier", "x = augment(x, generator)", "pass", "every batch"),
    # predict
    Mutant("C4", "predict", "    model.eval()\n", "", "training mode"),
    Mutant("C4 mode", "predict", "    model.train(was_training)\n", "", "left in eval mode"),
    Mutant("graph", "predict", "with torch.no_grad():", "if True:", "no_grad"),
    Mutant("range", "predict", "model(x.float() / 255) for", "model(x.float()) for", "0..255"),
    Mutant("last batch", "predict", "for x in images.split(batch_size)]",
           "for x in images.split(batch_size) if len(x) == batch_size]", "(1003, 10)"),
    # BatchNorm2d
    Mutant("axes", "BatchNorm2d", "x.mean(dim=(0, 2, 3)), x.var", "x.mean(), x.var", "(0, 2, 3)"),
    Mutant("biased", "BatchNorm2d", "unbiased=False", "unbiased=True", "unbiased=False"),
    Mutant("running var", "BatchNorm2d", "(x.var(dim=(0, 2, 3)) - ", "(var - ", "running_var"),
    Mutant("momentum", "BatchNorm2d", "self.momentum * (mean",
           "(1 - self.momentum) * (mean", "running_mean"),
    Mutant("eps", "BatchNorm2d", "torch.sqrt(var + self.eps)", "(torch.sqrt(var) + self.eps)",
           "sqrt(var + eps)"),
    Mutant("D2", "BatchNorm2d", "eps=1e-5", "eps=0.8", "sqrt(var + eps)"),
    Mutant("C4 layer", "BatchNorm2d", "mean, var = self.running_mean, self.running_var",
           "mean, var = x.mean(dim=(0, 2, 3)), x.var(dim=(0, 2, 3), unbiased=False)",
           "self.training"),
    Mutant("always running", "BatchNorm2d", "if self.training:", "if True:", "eval mode"),
    Mutant("detached", "BatchNorm2d", "scale = self.weight / torch.sqrt(var",
           "scale = self.weight / torch.sqrt(var.detach()", "gradient"),
    Mutant("no buffer", "BatchNorm2d",
           'self.register_buffer("running_mean", torch.zeros(channels))',
           "self.running_mean = torch.zeros(channels)", "buffers"),
    Mutant("no parameter", "BatchNorm2d", "self.bias = nn.Parameter(torch.zeros(channels))",
           "self.bias = torch.zeros(channels)", "nn.Parameter"),
    # ResidualBlock
    Mutant("no skip", "ResidualBlock", "F.relu(x + h)", "F.relu(h)", "without the skip"),
    Mutant("early relu", "ResidualBlock", "F.relu(x + h)", "x + F.relu(h)", "after the addition"),
    Mutant("no inner relu", "ResidualBlock", "F.relu(self.norm1(self.conv1(x)))",
           "self.norm1(self.conv1(x))", "linear map"),
    Mutant("idle bias", "ResidualBlock",
           "self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)",
           "self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)", "bias=False"),
    Mutant("no padding", "ResidualBlock",
           "self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)",
           "self.conv1 = nn.Conv2d(channels, channels, 3, bias=False)", ""),
    Mutant("shared norm", "ResidualBlock", "self.norm2 = norm(channels)",
           "self.norm2 = self.norm1", "of its own"),
    Mutant("conv twice", "ResidualBlock", "self.norm2(self.conv2(h))", "self.norm2(self.conv1(h))",
           "relu(x + norm2"),
    # augment
    Mutant("wrong way", "augment", "cos, -sin, -t_x, sin, cos, -t_y",
           "cos, -sin, t_x, sin, cos, t_y", "wrong way"),
    Mutant("pixels as coordinates", "augment", "2 * right / W", "right / W", "2 / W"),
    Mutant("zoom inverted", "augment", "torch.cos(angle) / scale, torch.sin(angle) / scale",
           "torch.cos(angle) * scale, torch.sin(angle) * scale", "divide by scale"),
    Mutant("degrees as radians", "augment", "math.radians(degrees)", "degrees", "degrees"),
    Mutant("mirrored", "augment", "cos, -sin, -t_x, sin, cos, -t_y",
           "cos, sin, -t_x, sin, cos, -t_y", ""),
    Mutant("one for all", "augment", "torch.rand(4, B, generator=generator, device=x.device)",
           "torch.rand(4, 1, generator=generator, device=x.device).expand(4, B)", "of its own"),
    # exercises
    Mutant("eps forgotten", "fold_batch_norm", "norm.running_var + norm.eps", "norm.running_var",
           "running_var + eps"),
    Mutant("bias unscaled", "fold_batch_norm", "(bias - norm.running_mean) * scale",
           "(bias - norm.running_mean)", "bias"),
    Mutant("conv bias lost", "fold_batch_norm", "0 if conv.bias is None else conv.bias", "0",
           "with a bias"),
    Mutant("input channels", "fold_batch_norm", "scale[:, None, None, None]",
           "scale[None, :3, None, None]", "output channel"),
    Mutant("transposed", "confusion_matrix", "classes * labels + answer",
           "classes * answer + labels", "swapped"),
    Mutant("C4 confusion", "confusion_matrix", "answer = predict(model, images).argmax(dim=1)",
           "answer = model(images.float() / 255).argmax(dim=1)", "predict"),
    Mutant("counted once", "confusion_matrix",
           "return torch.bincount(classes * labels + answer, minlength=classes**2).view(classes, classes)",
           "counts = torch.zeros(classes, classes, dtype=torch.long)\n"
           "    counts[labels, answer] += 1\n    return counts", "only once"),
]  # fmt: skip

# Right answers, written differently: a check that rejects one of these is a false alarm.
ALTERNATIVES = {
    "train_classifier": [("optimiser.zero_grad()\n            loss.backward()",
                          "model.zero_grad(set_to_none=True)\n            loss.backward()"),
                         ("F.cross_entropy(model(x), y)",
                          "F.nll_loss(F.log_softmax(model(x), dim=1), y)")],
    "predict": [("torch.no_grad()", "torch.inference_mode()"),
                ("batch_size=500", "batch_size=7")],
    "BatchNorm2d": [("x.var(dim=(0, 2, 3), unbiased=False)",
                     "x.pow(2).mean(dim=(0, 2, 3)) - x.mean(dim=(0, 2, 3)).pow(2)"),
                    ("return x * scale[:, None, None] + shift[:, None, None]",
                     "return (x - mean.view(1, -1, 1, 1)) * scale.view(1, -1, 1, 1) "
                     "+ self.bias.view(1, -1, 1, 1)")],
    "ResidualBlock": [("return F.relu(x + h)", "return (h + x).clamp(min=0)"),
                      ("h = F.relu(self.norm1(self.conv1(x)))",
                       "h = self.norm1(self.conv1(x)).relu()")],
    "augment": [("torch.stack([cos, -sin, -t_x, sin, cos, -t_y], dim=1).view(B, 2, 3)",
                 "torch.stack([torch.stack([cos, -sin, -t_x], 1), torch.stack([sin, cos, -t_y], 1)], 1)"),
                # turning the other way is as uniform
                ("cos, -sin, -t_x, sin, cos, -t_y", "cos, sin, -t_x, -sin, cos, -t_y")],
    "fold_batch_norm": [("torch.sqrt(norm.running_var + norm.eps)",
                         "(norm.running_var + norm.eps) ** 0.5"),
                        ("scale[:, None, None, None]", "scale.view(-1, 1, 1, 1)")],
    "confusion_matrix": [("return torch.bincount(classes * labels + answer, minlength=classes**2).view(classes, classes)",
                          "return torch.zeros(classes, classes, dtype=torch.long).index_put_("
                          "(labels, answer), torch.ones_like(labels), accumulate=True)"),
                         ("predict(model, images).argmax(dim=1)",
                          "predict(model, images).softmax(dim=1).max(dim=1).indices")],
}  # fmt: skip

# Rows of the catalogue that are questions in the lesson's text rather than code.
QUESTIONS = ["C3", "C5", "C8"]
