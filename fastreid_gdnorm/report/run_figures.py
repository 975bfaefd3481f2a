"""Figures of a run: losses, learning rate, and the Gaussian process over depth and over training.

They are narrow, so that their text can still be read at a phone's width.
"""

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

WIDTH = 5  # inches
COLOURS = {"a": "tab:blue", "b": "tab:orange"}


def curves_figure(records):
    """Every loss and the learning rate against iterations.

    Args:
        records: lines of metrics.json, {"iteration": ..., name: value}.
    """
    figure = Figure(figsize=(WIDTH, 5), layout="constrained")
    losses, rate = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    names = sorted({name for record in records for name in record if "loss" in name}, key=lambda n: (len(n), n))
    for name in ("total_loss", *(name for name in names if name != "total_loss")):
        losses.plot(*_curve(records, name), ".-", markersize=3, label=name)
    rate.plot(*_curve(records, "lr"), ".-", markersize=3, color="black")
    losses.set(ylabel="loss", ylim=(0, None))
    rate.set(ylabel="learning rate", xlabel="iteration", ylim=(0, None))
    losses.legend(fontsize=8)
    for axis in (losses, rate):
        axis.grid(alpha=0.3)
    return figure


def band_figure(process, scale, noise):
    """M(a) and M(b), their means over a layer's channels, and the band of lambda times the spread, layer by layer.

    Args:
        process: gives (name, Moments) in the order of depth, as GaussianProcess does.
        scale, noise: MODEL.GDNORM.LAMBDA and NOISE, which make the band (Eq. 11).
    """
    layers = band(process, scale, noise)
    depth = range(1, len(layers) + 1)
    figure = Figure(figsize=(WIDTH, 5), layout="constrained")
    for axis, part, places in zip(figure.subplots(2, 1, sharex=True), "ab", ((1, 2), (3, 4))):
        mean, width = ([layer[place] for layer in layers] for place in places)
        low, high = ([m + sign * w for m, w in zip(mean, width)] for sign in (-1, 1))
        label = f"± {scale:g} × {'variance' if noise == 'variance' else 'standard deviation'}"
        axis.fill_between(depth, low, high, color=COLOURS[part], alpha=0.3, label=label)
        axis.plot(depth, mean, ".-", color=COLOURS[part], label=f"M({part})")
        axis.set(ylabel=f"{part}, mean over channels")
        axis.legend(fontsize=8)
        axis.grid(alpha=0.3)
    axis.set(xlabel="layer, in order of depth", xlim=(0.5, len(layers) + 0.5))
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def width_figure(process, scale, noise):
    """Half the band's width alone, lambda times the spread of a and of b, layer by layer."""
    layers = band(process, scale, noise)
    figure = Figure(figsize=(WIDTH, 3.6), layout="constrained")
    axis = figure.subplots()
    for part, place in ("a", 2), ("b", 4):
        axis.plot(
            range(1, len(layers) + 1), [layer[place] for layer in layers], ".-", color=COLOURS[part], label=f"of {part}"
        )
    axis.set(xlabel="layer, in order of depth", xlim=(0.5, len(layers) + 0.5))
    axis.set(ylabel="lambda × spread")
    _show_magnitudes(axis)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.legend(fontsize=8)
    axis.grid(alpha=0.3, which="both")
    return figure


def spread_figure(records):
    """How far the branches lie apart in the course of training: the means over layers of var(a) and var(b)."""
    figure = Figure(figsize=(WIDTH, 3.6), layout="constrained")
    axis = figure.subplots()
    for part in "ab":
        curve = _curve(records, f"gaussian_process/var_{part}")
        axis.plot(*curve, ".-", color=COLOURS[part], label=f"variance of {part}")
    axis.set(xlabel="iteration", ylabel="mean over layers")
    _show_magnitudes(axis)
    axis.legend(fontsize=8)
    axis.grid(alpha=0.3, which="both")
    return figure


def band(process, scale, noise):
    """[(layer's name, M(a), lambda * spread of a, M(b), lambda * spread of b)], means over the layer's channels."""

    def width(variance):
        spread = variance if noise == "variance" else variance.sqrt()
        return scale * float(spread.mean())

    return [
        (name, float(m.mean_a.mean()), width(m.var_a), float(m.mean_b.mean()), width(m.var_b)) for name, m in process
    ]


def _show_magnitudes(axis):
    """On a logarithmic scale, unless the branches are all the same or their numbers are none."""
    if any((line.get_ydata() > 0).any() for line in axis.lines):
        axis.set_yscale("log")


def _curve(records, name):
    points = [(record["iteration"], record[name]) for record in records if name in record]
    return [x for x, _ in points], [y for _, y in points]
