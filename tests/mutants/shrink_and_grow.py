"""Mistakes of lesson 13. Rows C9, D7, D8 and D10 are those of the course's catalogue of bugs."""

from tests.mutants import Mutant

TOPIC = "shrink_and_grow"

MUTANTS = [
    # output_size
    Mutant("ceil", "output_size", "(n + 2 * padding - kernel) // stride",
           "-((kernel - n - 2 * padding) // stride)", "rounded up"),
    Mutant("padding forgotten", "output_size", "n + 2 * padding - kernel", "n - kernel",
           "padding is not counted"),
    Mutant("padding once", "output_size", "2 * padding", "padding", "one end"),
    Mutant("first window", "output_size", "// stride + 1", "// stride", "add 1"),
    Mutant("window's size", "output_size", " - kernel)", ")", "not subtracted"),
    Mutant("not whole", "output_size", "// stride + 1", "/ stride // 1 + 1", "whole number"),
    Mutant("no return", "output_size", "return ", "", "the `return` missing"),
    # max_pool2d
    Mutant("no return", "max_pool2d", "return ", "", "the `return` missing"),
    Mutant("ties shared", "max_pool2d", ".flatten(-2).max(dim=-1).values", ".amax(dim=(-2, -1))",
           "shared among cells that tie"),
    Mutant("mean", "max_pool2d", ".max(dim=-1).values", ".mean(dim=-1)", "this is the mean"),
    Mutant("minimum", "max_pool2d", ".max(dim=-1)", ".min(dim=-1)", "minimum"),
    Mutant("stride 1", "max_pool2d", "stride or kernel", "stride or 1", "as large as the kernel"),
    Mutant("last of ties", "max_pool2d", ".flatten(-2).max", ".flatten(-2).flip(-1).max",
           "the last gets"),
    Mutant("detached", "max_pool2d", "windows(x, kernel", "windows(x.detach(), kernel",
           "no gradient flows"),
    Mutant("one axis", "max_pool2d", ".flatten(-2).max(dim=-1).values", "[..., 0].amax(dim=-1)",
           "two axes"),
    # avg_pool2d
    Mutant("sum", "avg_pool2d", ".mean(dim", ".sum(dim", "divide by kernel²"),
    Mutant("maximum", "avg_pool2d", ".mean(dim", ".amax(dim", "this is the maximum"),
    Mutant("by kernel", "avg_pool2d", ".mean(dim=(-2, -1))", ".sum(dim=(-2, -1)) / kernel",
           "divided by the kernel"),
    Mutant("stride ignored", "avg_pool2d", "stride or kernel", "kernel", "should give"),
    Mutant("wrong axes", "avg_pool2d", "dim=(-2, -1)", "dim=(2, 3)", "should give"),
    # gradients of pooling
    Mutant("ties shared", "max_pool2d_gradient",
           "torch.zeros_like(columns).scatter_(1, columns.argmax(dim=1, keepdim=True), 1)",
           "(columns == columns.amax(1, keepdim=True)).double()\n"
           "    winner = winner / winner.sum(1, keepdim=True)", "shared among cells that tie"),
    Mutant("all ties", "max_pool2d_gradient",
           "torch.zeros_like(columns).scatter_(1, columns.argmax(dim=1, keepdim=True), 1)",
           "(columns == columns.amax(1, keepdim=True)).double()", "each gets the full"),
    Mutant("all cells", "max_pool2d_gradient", "shares = winner *",
           "shares = torch.ones_like(columns) / kernel**2 *", "only the winner"),
    Mutant("full to all", "max_pool2d_gradient", "shares = winner *",
           "shares = torch.ones_like(columns) *", "every cell of a window"),
    Mutant("upstream", "max_pool2d_gradient", "winner * upstream.reshape(B * C, 1, -1)", "winner",
           "multiply by upstream"),
    Mutant("undivided", "avg_pool2d_gradient", " / kernel**2", "", "1 / kernel²"),
    Mutant("by kernel", "avg_pool2d_gradient", " / kernel**2", " / kernel", "share is 1 / kernel;"),
    Mutant("winner", "avg_pool2d_gradient",
           "upstream.reshape(B * C, 1, -1).expand(-1, kernel**2, -1) / kernel**2",
           "F.one_hot(F.unfold(x.reshape(B * C, 1, H, W), kernel, stride=stride).argmax(1), "
           "kernel**2).transpose(1, 2) * upstream.reshape(B * C, 1, -1)", "max pooling"),
    Mutant("last of ties", "max_pool2d_gradient", "columns.argmax(dim=1, keepdim=True)",
           "kernel**2 - 1 - columns.flip(1).argmax(dim=1, keepdim=True)", "the last gets"),
    # conv_transpose2d
    Mutant("size", "conv_transpose2d", "(n - 1) * stride", "n * stride", "(H - 1) stride"),
    Mutant("not flat", "conv_transpose2d", "weight.flatten(1).T @ x.flatten(2)",
           "(weight.flatten(1).T @ x.flatten(2)).mT", "columns (B, C' k², H W)"),
    Mutant("flipped", "conv_transpose2d", "weight.flatten(1)", "weight.flip(-1, -2).flatten(1)",
           "upside down"),
    Mutant("channels", "conv_transpose2d", "weight.flatten(1)", "weight.transpose(0, 1).flatten(1)",
           "(in, out, k, k)"),
    Mutant("D10", "conv_transpose2d", "x.flatten(2)", "x.mT.flatten(2)", "rows and columns"),
    Mutant("stamp turned", "conv_transpose2d", "weight.flatten(1)", "weight.mT.flatten(1)",
           "rows and columns of the stamps"),
    Mutant("padding once", "conv_transpose2d", "- 2 * padding", "- padding", "(H - 1) stride"),
    Mutant("padding ignored", "conv_transpose2d", "stride=stride, padding=padding", "stride=stride",
           "(H - 1) stride"),
    Mutant("extra ignored", "conv_transpose2d", " + output_padding for", " for",
           "output_padding is accepted and ignored"),
    Mutant("last wins", "conv_transpose2d",
           "y = F.fold(columns, size, kernel, stride=stride, padding=padding)",
           "y = F.fold(columns, size, kernel, stride=stride, padding=padding)\n"
           "    ones = F.fold(torch.ones_like(columns), size, kernel, stride=stride, padding=padding)\n"
           "    y = y / ones.clamp(min=1)", "adjoint"),
    Mutant("bias forgotten", "conv_transpose2d", "return y if bias is None else y + bias[:, None, None]",
           "return y", "with a bias"),
    Mutant("bias per stamp", "conv_transpose2d", "else y + bias[:, None, None]",
           "else y + bias[:, None, None] * kernel[0]", "with a bias"),
    Mutant("detached", "conv_transpose2d", "x.flatten(2)", "x.detach().flatten(2)",
           "gradient with respect to x"),
    # ConvTranspose2d
    Mutant("fan", "ConvTranspose2d", "(out * kernel**2)", "(channels * kernel**2)",
           "channels that come out"),
    Mutant("normal", "ConvTranspose2d", "uniform_(parameter, -bound, bound)",
           "normal_(parameter, 0, bound)", "start uniform"),
    Mutant("zeros", "ConvTranspose2d", "uniform_(parameter, -bound, bound)", "zeros_(parameter)",
           "start uniform"),
    Mutant("channels", "ConvTranspose2d", "torch.empty(channels, out,", "torch.empty(out, channels,",
           "parameters"),
    Mutant("no parameter", "ConvTranspose2d", "nn.Parameter(torch.empty(out)) if bias",
           "torch.zeros(out) if bias", "nn.Parameter"),
    Mutant("extra lost", "ConvTranspose2d", '"output_padding": output_padding',
           '"output_padding": 0', "output_padding"),
    Mutant("bias lost", "ConvTranspose2d", "self.weight, self.bias, **", "self.weight, None, **",
           "bias arrive"),
    # overlap_counts
    Mutant("D7", "overlap_counts", "i * stride : i * stride + kernel",
           "i * stride : i * stride + stride", "repeat [2, 1, 2, 1]"),
    Mutant("length", "overlap_counts", "(n - 1) * stride + kernel", "n * stride + kernel",
           "your line has"),
    Mutant("stride ignored", "overlap_counts", "i * stride : i * stride + kernel", "i : i + kernel",
           "repeat"),
    Mutant("set", "overlap_counts", "+= 1", "= 1", "repeat"),
    Mutant("real", "overlap_counts", ", dtype=torch.long", "", "int64"),
    # pixel_shuffle
    Mutant("no return", "pixel_shuffle", "return ", "", "the `return` missing"),
    Mutant("block mirrored", "pixel_shuffle", "permute(0, 1, 4, 2, 5, 3)",
           "permute(0, 1, 4, 3, 5, 2)", "mirrored"),
    Mutant("only reshaped", "pixel_shuffle", ".permute(0, 1, 4, 2, 5, 3)", "", "only re-read"),
    Mutant("channel order", "pixel_shuffle", "view(B, C, r, r, H, W).permute(0, 1, 4, 2, 5, 3)",
           "view(B, r, r, C, H, W).permute(0, 3, 4, 1, 5, 2)", "(C, r, r)"),
    Mutant("tiled", "pixel_shuffle", "permute(0, 1, 4, 2, 5, 3)", "permute(0, 1, 2, 4, 3, 5)",
           "side by side"),
    Mutant("D10", "pixel_shuffle",
           "permute(0, 1, 4, 2, 5, 3).reshape(B, C, H * r, W * r)",
           "permute(0, 1, 5, 3, 4, 2).reshape(B, C, W * r, H * r)", "Rows and columns are swapped"),
    Mutant("D10 square", "pixel_shuffle", "permute(0, 1, 4, 2, 5, 3)", "permute(0, 1, 5, 3, 4, 2)",
           "rows and columns are exchanged"),
    # exercises
    Mutant("D10", "space_to_depth",
           "x.reshape(B, C, H // r, r, W // r, r)\n"
           "    return x.permute(0, 1, 3, 5, 2, 4).reshape(B, C * r**2, H // r, W // r)",
           "x.reshape(B, C, W // r, r, H // r, r)\n"
           "    return x.permute(0, 1, 5, 3, 4, 2).reshape(B, C * r * r, W // r, H // r)",
           "Rows and columns are swapped"),
    Mutant("D10 square", "space_to_depth", "permute(0, 1, 3, 5, 2, 4)",
           "permute(0, 1, 5, 3, 4, 2)", "exchanged"),
    Mutant("block mirrored", "space_to_depth", "permute(0, 1, 3, 5, 2, 4)",
           "permute(0, 1, 5, 3, 2, 4)", "does not bring x back"),
    Mutant("only reshaped", "space_to_depth", "x.permute(0, 1, 3, 5, 2, 4)", "x",
           "does not bring x back"),
    Mutant("D7", "smooth_kernel", "return torch.outer(line, line)",
           "return torch.ones(3, 3) * 4 / 9", "gets a pattern"),
    Mutant("dark", "smooth_kernel", "[0.5, 1.0, 0.5]", "[0.25, 0.5, 0.25]", "becomes one of"),
    Mutant("moves", "smooth_kernel", "[0.5, 1.0, 0.5]", "[1.0, 1.0, 0.0]", "moves"),
    Mutant("one axis", "smooth_kernel", "return torch.outer(line, line)", "return line",
           "should be (3, 3)"),
    Mutant("not flipped", "shuffle_kernel", ".flip(-1, -2)", "", "back to front"),
    Mutant("channels", "shuffle_kernel",
           "permute(3, 0, 4, 1, 5, 2).reshape(C, out, 3 * r, 3 * r)",
           "permute(0, 3, 4, 1, 5, 2).reshape(out, C, 3 * r, 3 * r)", "the stamp should be"),
    Mutant("a and b", "shuffle_kernel", "permute(3, 0, 4, 1, 5, 2)", "permute(3, 0, 4, 2, 5, 1)",
           "not convolution and shuffle"),
    Mutant("not interleaved", "shuffle_kernel", "permute(3, 0, 4, 1, 5, 2)",
           "permute(3, 0, 1, 4, 2, 5)", "not convolution and shuffle"),
]  # fmt: skip

# Right answers, written differently: a check that rejects one of these is a false alarm.
ALTERNATIVES = {
    "output_size": [("(n + 2 * padding - kernel) // stride + 1",
                     "len(range(0, n + 2 * padding - kernel + 1, stride))"),
                    ("(n + 2 * padding - kernel) // stride + 1",
                     "(n + 2 * padding - kernel + stride) // stride")],
    "max_pool2d": [("windows(x, kernel, stride or kernel).flatten(-2).max(dim=-1).values",
                    "F.unfold(x.flatten(0, 1)[:, None], kernel, stride=stride or kernel)"
                    ".max(1).values.view(*windows(x, kernel, stride or kernel).shape[:4])"),
                   ("stride or kernel", "kernel if stride is None else stride")],
    "avg_pool2d": [(".mean(dim=(-2, -1))", ".sum((4, 5)) / kernel**2"),
                   (".mean(dim=(-2, -1))", ".mean(-1).mean(-1)")],
    "max_pool2d_gradient": [
        ("torch.zeros_like(columns).scatter_(1, columns.argmax(dim=1, keepdim=True), 1)",
         "F.one_hot(columns.argmax(1), kernel**2).transpose(1, 2)"),
        ("winner * upstream.reshape(B * C, 1, -1)", "winner * upstream.flatten(0, 1).flatten(1)[:, None]")],
    "avg_pool2d_gradient": [
        ("upstream.reshape(B * C, 1, -1).expand(-1, kernel**2, -1) / kernel**2",
         "upstream.reshape(B * C, 1, -1).repeat(1, kernel * kernel, 1) / (kernel * kernel)"),
        ("upstream.reshape(B * C, 1, -1).expand(-1, kernel**2, -1) / kernel**2",
         "x.new_full((1, kernel**2, 1), kernel**-2.0) * upstream.reshape(B * C, 1, -1)")],
    "conv_transpose2d": [
        ("weight.flatten(1).T @ x.flatten(2)",
         "torch.einsum('ck,bcl->bkl', weight.flatten(1), x.flatten(2))"),
        ("    y = F.fold(columns, size, kernel, stride=stride, padding=padding)",
         "    columns = columns.view(B, -1, *kernel, H, W)\n"
         "    y = x.new_zeros(B, weight.shape[1], *(n + 2 * padding for n in size))\n"
         "    for u in range(kernel[0]):\n"
         "        for v in range(kernel[1]):\n"
         "            rows, across = (slice(t, t + stride * (n - 1) + 1, stride) for t, n in ((u, H), (v, W)))\n"
         "            y[:, :, rows, across] += columns[:, :, u, v]\n"
         "    y = y[:, :, padding : padding + size[0], padding : padding + size[1]]")],
    "ConvTranspose2d": [("nn.init.uniform_(parameter, -bound, bound)",
                         "parameter.data = (2 * torch.rand(parameter.shape) - 1) * bound"),
                        ("(out * kernel**2) ** -0.5", "1 / (kernel * out**0.5)")],
    "overlap_counts": [
        ("counts[i * stride : i * stride + kernel] += 1", "counts[i * stride :][:kernel] += 1"),
        ("    return counts",
         "    return torch.tensor([sum(0 <= m - i * stride < kernel for i in range(n)) "
         "for m in range(len(counts))])")],
    "pixel_shuffle": [
        ("x.view(B, C, r, r, H, W).permute(0, 1, 4, 2, 5, 3)",
         "x.view(B, C, r, r, H, W).permute(0, 1, 2, 4, 5, 3).transpose(2, 3)"),
        ("return x.view(B, C, r, r, H, W).permute(0, 1, 4, 2, 5, 3).reshape(B, C, H * r, W * r)",
         "y = x.new_empty(B, C, H * r, W * r)\n"
         "    for a in range(r):\n"
         "        for b in range(r):\n"
         "            y[:, :, a::r, b::r] = x[:, a * r + b :: r**2]\n"
         "    return y")],
    "space_to_depth": [
        ("x.permute(0, 1, 3, 5, 2, 4)", "x.transpose(2, 3).permute(0, 1, 2, 5, 3, 4)"),
        ("x = x.reshape(B, C, H // r, r, W // r, r)", "x = x.unflatten(3, (-1, r)).unflatten(2, (-1, r))")],
    "smooth_kernel": [("torch.outer(line, line)", "line[:, None] * line"),
                      ("return torch.outer(line, line)",
                       "return torch.tensor([[1, 2, 1], [2, 4, 2], [1, 2, 1]]) / 4")],
    "shuffle_kernel": [
        (".flip(-1, -2)", ".flip(4, 5)"),
        ("return blocks.permute(3, 0, 4, 1, 5, 2).reshape(C, out, 3 * r, 3 * r)",
         "stamp = weight.new_zeros(C, out, 3 * r, 3 * r)\n"
         "    for a in range(r):\n"
         "        for b in range(r):\n"
         "            stamp[:, :, a::r, b::r] = blocks[:, a, b].transpose(0, 1)\n"
         "    return stamp")],
}  # fmt: skip

# Rows of the catalogue that are questions in the lesson's text rather than code.
QUESTIONS = ["C9", "D8"]
