"""Mistakes of lesson 15. Rows C4 and E1 to E6 are those of the course's catalogue of bugs."""

from tests.mutants import Mutant

TOPIC = "features"

MUTANTS = [
    # features_of
    Mutant("C4", "features_of", "    model.eval()\n", "", "training mode"),
    Mutant("C4 mode", "features_of", "    model.train(was_training)\n", "", "put it back"),
    Mutant("E1", "features_of", "model.features(as_floats(x))", "model.features(x.float())", "(E1)"),
    Mutant("E1 twice", "features_of", "as_floats(x))", "as_floats(x) / (1 if x.dtype == torch.uint8 else 255))",
           "once more"),
    Mutant("E1 passes", "features_of", " and images.max() <= 1)", ")", "0..255"),
    Mutant("E6 passes", "features_of", "images.min() >= 0 and ", "", "-1..1"),
    Mutant("graph", "features_of", "with torch.no_grad():", "if True:", "no_grad"),
    Mutant("float32", "features_of", ".double()", "", "float64"),
    Mutant("logits", "features_of", "model.features(as", "model(as", "model.features(x)"),
    Mutant("last batch", "features_of", "for x in images.split(batch_size)]",
           "for x in images.split(batch_size) if len(x) == batch_size]", "(1003, 5)"),
    # occlusion
    Mutant("sign", "occlusion", "ask(image[None]) - ask(covered)", "ask(covered) - ask(image[None])",
           "sign"),
    Mutant("C6 fill", "occlusion", "= fill\n", "= 0.0\n", "fill is accepted"),
    Mutant("border", "occlusion", "max(0, i - half)", "i - half", "max(0, i - half)"),
    Mutant("too small", "occlusion", "max(0, i - half) : i + half + 1", "max(0, i - half) : i + half",
           "i - 1 to i + 1"),
    Mutant("in place", "occlusion", "image.repeat(len(places), 1, 1, 1)",
           "image.expand(len(places), -1, -1, -1)", "painted over"),
    Mutant("no drop", "occlusion", "ask(image[None]) - ask(covered)", "ask(covered)", "subtract it"),
    Mutant("axes", "occlusion", "drop.view(-(-H // stride), -1)", "drop.view(-1, -(-H // stride))",
           "5 x 4"),
    Mutant("one channel", "occlusion", "x[:, max", "x[0, max", "all channels"),
    # covariance
    Mutant("biased", "covariance", "(len(x) - 1)", "len(x)", "N - 1"),
    Mutant("wrong axis", "covariance", "dim=0", "dim=1, keepdim=True", "wrong axis"),
    Mutant("not centred", "covariance", "x - x.mean(dim=0)", "x", "not centred"),
    Mutant("points", "covariance", "centred.T @ centred", "centred @ centred.T", "over the points"),
    Mutant("variances", "covariance", "centred.T @ centred / (len(x) - 1)",
           "centred.var(dim=0).diag()", "variances alone"),
    # pca
    Mutant("smallest", "pca", "vectors.flip(1)[:, :dims].T, values.flip(0)[:dims]",
           "vectors[:, :dims].T, values[:dims]", "rising order"),
    Mutant("rows", "pca", "vectors.flip(1)[:, :dims].T", "vectors.flip(0)[:dims]", "columns"),
    Mutant("half flipped", "pca", "vectors.flip(1)[:, :dims].T", "vectors[:, :dims].T",
           "belong together"),
    Mutant("C6 dims", "pca", "vectors.flip(1)[:, :dims].T", "vectors.flip(1).T", "directions (3, 5)"),
    Mutant("scaled", "pca", "vectors.flip(1)[:, :dims].T", "(vectors * values).flip(1)[:, :dims].T",
           "unit vectors"),
    Mutant("deviations", "pca", "values.flip(0)[:dims]", "values.flip(0)[:dims].sqrt()",
           "variances should be"),
    # square_root
    Mutant("elementwise", "square_root", "(vectors * values.clamp(min=0).sqrt()) @ vectors.T",
           "S.sqrt()", "each entry"),
    Mutant("cholesky", "square_root", "(vectors * values.clamp(min=0).sqrt()) @ vectors.T",
           "torch.linalg.cholesky(S + 1e-12 * torch.eye(len(S)).to(S))", "triangular"),
    Mutant("no clamp", "square_root", ".clamp(min=0)", "", "clamp(min=0)"),
    Mutant("no root", "square_root", ".sqrt()", "", "R R is not S"),
    Mutant("rows", "square_root", "(vectors * values.clamp(min=0).sqrt()) @ vectors.T",
           "(vectors.T * values.clamp(min=0).sqrt()) @ vectors", "R R is not S"),
    Mutant("complex", "square_root", "values, vectors = torch.linalg.eigh(S)",
           "values, vectors = torch.linalg.eigh(S.to(torch.complex128))\n    values = values + 0j\n"
           "    return (vectors * values.sqrt()) @ vectors.T", "complex"),
    # frechet_distance
    Mutant("variances", "frechet_distance", "S, T = covariance(a), covariance(b)",
           "S, T = a.var(dim=0).diag(), b.var(dim=0).diag()", "compares variances"),
    Mutant("biased", "frechet_distance", "S, T = covariance(a), covariance(b)",
           "S, T = torch.cov(a.T, correction=0), torch.cov(b.T, correction=0)", "divided by N"),
    Mutant("no root", "frechet_distance", ".clamp(min=0).sqrt().sum()", ".sum()",
           "root of the product is missing"),
    Mutant("elementwise", "frechet_distance",
           "torch.linalg.eigvalsh(root @ T @ root).clamp(min=0).sqrt().sum()",
           "(S @ T).clamp(min=0).sqrt().trace()", ""),
    Mutant("complex part", "frechet_distance",
           "torch.linalg.eigvalsh(root @ T @ root).clamp(min=0).sqrt().sum()",
           "torch.linalg.eigvals(S @ T).sqrt().imag.sum()", "imaginary part"),
    Mutant("one triangle", "frechet_distance", "root @ T @ root", "S @ T", "not symmetric"),
    Mutant("root of the product", "frechet_distance",
           "torch.linalg.eigvalsh(root @ T @ root).clamp(min=0).sqrt().sum()",
           "square_root(S @ T).trace()", "not symmetric"),
    Mutant("complex", "frechet_distance",
           "overlap = torch.linalg.eigvalsh(root @ T @ root).clamp(min=0).sqrt().sum()\n"
           "    return (gap + S.trace() + T.trace() - 2 * overlap).item()",
           "overlap = torch.linalg.eigvals(S @ T).sqrt().sum()\n"
           "    return gap + S.trace() + T.trace() - 2 * overlap", "complex"),
    Mutant("not squared", "frechet_distance", ".square().sum()", ".norm()", "not squared"),
    Mutant("no factor", "frechet_distance", "2 * overlap", "overlap", "factor 2"),
    Mutant("means only", "frechet_distance", "return (gap + S.trace() + T.trace() - 2 * overlap).item()",
           "return gap.item()", "only the means"),
    Mutant("no means", "frechet_distance", "return (gap + ", "return (", "means are not compared"),
    Mutant("d", "frechet_distance", "2 * overlap).item()", "2 * overlap).sqrt().item()", "its square"),
    Mutant("no clamp", "frechet_distance", ".clamp(min=0).sqrt().sum()", ".sqrt().sum()",
           "fewer points than features"),
    Mutant("wrong axis", "frechet_distance", "a.mean(dim=0) - b.mean(dim=0)",
           "a.mean(dim=1).mean() - b.mean(dim=1).mean()", "0"),
    # climb
    Mutant("descends", "climb", "x + length * grad", "x - length * grad", "add the gradient"),
    Mutant("own norms", "climb", "grad.flatten(1).norm(dim=1).clamp(min=1e-12)[:, None, None, None]",
           "grad.norm().clamp(min=1e-12)", "own norm"),
    Mutant("not normalised", "climb", "length * grad / norm", "length * grad", "own norm"),
    Mutant("signs", "climb", "length * grad / norm", "length * grad.sign()", "L2 norm"),
    Mutant("no clamp", "climb", ".clamp(0, 1)", "", "clamp to [0, 1]"),
    Mutant("nan", "climb", ".clamp(min=1e-12)", "", "1e-12"),
    Mutant("C6 steps", "climb", "range(steps)", "range(1)", "three steps were asked"),
    Mutant("graph", "climb", ".clamp(0, 1).detach()", ".clamp(0, 1).requires_grad_()", "detach"),
    Mutant("stale gradient", "climb", "(grad,) = torch.autograd.grad(score(x).sum(), x)",
           "if _ == 0:\n            (grad,) = torch.autograd.grad(score(x).sum(), x)", "anew"),
    # extrapolate
    Mutant("slope", "extrapolate", "solution[0]", "solution[1]", "slope"),
    Mutant("over n", "extrapolate", "x = 1 / torch.as_tensor", "x = torch.as_tensor", "over 1/n"),
    Mutant("last", "extrapolate", "return torch.linalg.lstsq(rows, d[:, None]).solution[0].item()",
           "return d[-1].item()", "last distance"),
    Mutant("two points", "extrapolate", "torch.linalg.lstsq(rows, d[:, None])",
           "torch.linalg.lstsq(rows[-2:], d[-2:, None])", "All points"),
    Mutant("through zero", "extrapolate", "torch.stack([torch.ones_like(x), x], dim=1)",
           "torch.stack([x, x**2], dim=1)", "should give 3"),
]  # fmt: skip

ALTERNATIVES = {
    "features_of": [
        ("""seen = [model.features(as_floats(x)).cpu().double() for x in images.split(batch_size)]""",
         """seen = []
        for start in range(0, len(images), batch_size):
            seen.append(model.features(as_floats(images[start : start + batch_size])).cpu().double())"""),
        ("images.is_floating_point() and not (images.min() >= 0 and images.max() <= 1)",
         "images.dtype != torch.uint8 and ((images < 0) | (images > 1)).any()"),
    ],
    "occlusion": [
        ("covered = image.repeat(len(places), 1, 1, 1)",
         "covered = torch.stack([image.clone() for _ in places])"),
        ("drop = ask(image[None]) - ask(covered)",
         "drop = torch.cat([ask(image[None]) - ask(x[None]) for x in covered])"),
    ],
    "covariance": [
        ("centred.T @ centred / (len(x) - 1)", "torch.cov(x.T)"),
        ("centred.T @ centred / (len(x) - 1)",
         'torch.einsum("ni,nj->ij", centred, centred) / (x.shape[0] - 1)'),
    ],
    "pca": [
        ("return x.mean(dim=0), vectors.flip(1)[:, :dims].T, values.flip(0)[:dims]",
         "order = values.argsort(descending=True)[:dims]\n    return x.mean(0), vectors.T[order], values[order]"),
        ("values, vectors = torch.linalg.eigh(covariance(x))  # rising\n",
         "_, s, rows = torch.linalg.svd(x - x.mean(0), full_matrices=False)\n"
         "    values, vectors = (s**2 / (len(x) - 1)).flip(0), -rows.T.flip(1)\n"),
    ],
    "square_root": [
        ("(vectors * values.clamp(min=0).sqrt()) @ vectors.T",
         "vectors @ torch.diag(values.clamp(min=0) ** 0.5) @ vectors.T"),
        ("(vectors * values.clamp(min=0).sqrt()) @ vectors.T",
         "torch.einsum('ik,k,jk->ij', vectors, values.relu().sqrt(), vectors)"),
    ],
    "frechet_distance": [
        ("torch.linalg.eigvalsh(root @ T @ root).clamp(min=0).sqrt().sum()",
         "torch.linalg.svdvals(root @ square_root(T)).sum()"),
        ("torch.linalg.eigvalsh(root @ T @ root).clamp(min=0).sqrt().sum()",
         "square_root(root @ T @ root).trace()"),
        ("torch.linalg.eigvalsh(root @ T @ root).clamp(min=0).sqrt().sum()",
         "torch.linalg.eigvals(S @ T).real.clamp(min=0).sqrt().sum()"),
    ],
    "climb": [
        ("(grad,) = torch.autograd.grad(score(x).sum(), x)",
         "score(x).sum().backward()\n        grad = x.grad"),
        ("x = (x + length * grad / norm).clamp(0, 1).detach()",
         "with torch.no_grad():\n            x = torch.clamp(x + length / norm * grad, min=0, max=1)"),
    ],
    "extrapolate": [
        ("return torch.linalg.lstsq(rows, d[:, None]).solution[0].item()",
         "slope = ((x - x.mean()) * (d - d.mean())).sum() / (x - x.mean()).square().sum()\n"
         "    return (d.mean() - slope * x.mean()).item()"),
        ("return torch.linalg.lstsq(rows, d[:, None]).solution[0].item()",
         "return torch.linalg.solve(rows.T @ rows, rows.T @ d)[0]"),
    ],
}  # fmt: skip

# Rows that are asked or shown in the text.
QUESTIONS = ["E2", "E3", "E4"]
