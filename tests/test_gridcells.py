"""Rate maps, autocorrelograms, grid scores and their control, against other ways to compute them."""

import math

import pytest
import torch

from modreg.analysis.gridcells import OVERLAP, autocorrelograms, chance, grid_scores, judge, neighbour_likeness, network_maps, rate_maps, surrogates
from modreg.tasks.navigation import Navigation, NavigationConfig


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def waves(bins, period, directions, phase=0.0):
    """Sums of plane waves (bins, bins); `period` in bins, directions in rad."""
    north, east = torch.meshgrid(torch.arange(bins) + 0.5, torch.arange(bins) + 0.5, indexing="ij")
    return sum(torch.cos(2 * math.pi / period * (east * math.cos(a) + north * math.sin(a)) + k * phase) for k, a in enumerate(directions))


def hexagons(bins, period, turn, phase=0.0):
    return waves(bins, period, [turn + k * math.pi / 3 for k in range(3)], phase)


def noise(n, bins, width, seed):
    """White noise (n, bins, bins), smoothed over `width` bins, without edges."""
    far = math.ceil(4 * width)
    k = torch.arange(-far, far + 1.0)
    kernel = torch.exp(-(k**2) / (2 * width**2))
    white = torch.randn(n, 1, bins + 2 * far, bins + 2 * far, generator=seeded(seed))
    return torch.nn.functional.conv2d(white, (kernel[:, None] * kernel)[None, None])[:, 0]


# --- rate maps ---------------------------------------------------------------------------------------------------------


def test_rate_map_is_the_mean_of_each_bin():
    "Without smoothing, against a loop over visits"
    position, activity = 2 * torch.rand(500, 2, generator=seeded(0)) - 1, torch.rand(500, 3, generator=seeded(1))
    maps = rate_maps(position, activity, bins=6, width=1e-3, side=2.0)
    visits = {}
    for (x, y), a in zip(position.tolist(), activity, strict=True):
        visits.setdefault((int((y + 1) * 3), int((x + 1) * 3)), []).append(a)
    for row in range(6):
        for column in range(6):
            assert torch.allclose(maps[:, row, column], torch.stack(visits[row, column]).mean(0), atol=1e-5)


def test_smoothing_is_weighted_by_occupancy():
    "Against smoothing one bin at a time: a Gaussian mean over all visits"
    position, activity = 2 * torch.rand(80, 2, generator=seeded(2)) - 1, torch.rand(80, 1, generator=seeded(3))
    maps, bin_of = rate_maps(position, activity, bins=5, width=0.8, side=2.0)[0], ((position + 1) * 2.5).long()
    for row in range(5):
        for column in range(5):
            apart = (bin_of[:, 0] - column) ** 2 + (bin_of[:, 1] - row) ** 2
            weight = torch.exp(-apart / (2 * 0.8**2))
            expected = (weight * activity[:, 0]).sum() / weight.sum() if (apart == 0).any() else torch.tensor(math.nan)
            assert torch.allclose(maps[row, column], expected, atol=1e-5, equal_nan=True)


def test_bins_never_visited_have_no_rate():
    maps = rate_maps(torch.tensor([[-0.9, -0.9], [0.9, 0.9]]), torch.ones(2, 1), bins=4, side=2.0)[0]
    assert maps.isfinite().sum() == 2 and maps[0, 0] == 1 and maps[3, 3] == 1


def test_positions_and_activity_must_match():
    with pytest.raises(ValueError, match=r"activity is a tensor of shape \(4, 3\) .* of shape \(M, N\), all finite, not empty \(M = 5\)"):
        rate_maps(torch.zeros(5, 2), torch.zeros(4, 3))


# --- autocorrelograms --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gaps", [False, True])
def test_autocorrelogram_is_pearsons_correlation_of_the_overlap(gaps):
    "Against a loop over shifts and pairs of bins"
    bins = 7
    picture = noise(1, bins, 1, 0)[0].double() + 5
    if gaps:
        picture[2, 3:5] = math.nan
    found = autocorrelograms(picture[None])[0]
    for down in range(1 - bins, bins):
        for right in range(1 - bins, bins):
            pairs = [(picture[r, c].item(), picture[r - down, c - right].item()) for r in range(bins) for c in range(bins)
                     if 0 <= r - down < bins and 0 <= c - right < bins]
            pairs = [(a, b) for a, b in pairs if a == a and b == b]
            value = found[down + bins - 1, right + bins - 1].item()
            if len(pairs) < OVERLAP:
                assert math.isnan(value)
                continue
            x, y = (sum(part) / len(pairs) for part in zip(*pairs, strict=True))
            xy, xx, yy = (sum(f(a - x, b - y) for a, b in pairs) for f in (lambda a, b: a * b, lambda a, b: a * a, lambda a, b: b * b))
            assert value == pytest.approx(xy / math.sqrt(xx * yy), abs=1e-9)


def test_autocorrelogram_has_its_symmetries():
    found = autocorrelograms(noise(3, 12, 1, 1))
    assert torch.allclose(found, found.flip(-2, -1), atol=1e-5, equal_nan=True)
    assert torch.allclose(found[:, 11, 11], torch.ones(3), atol=1e-5)
    assert torch.allclose(autocorrelograms(7 - 3 * noise(3, 12, 1, 1)), found, atol=1e-4, equal_nan=True)  # units and sign don't matter
    assert autocorrelograms(torch.full((1, 12, 12), 0.3)).isnan().all()


# --- grid scores -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("period", [4, 5, 6.5, 8])
def test_hexagonal_lattices_score_high_whatever_their_direction_and_phase(period):
    turns = torch.linspace(0, math.pi / 3, 9).tolist()
    scores = grid_scores(torch.stack([hexagons(20, period, turn, phase) for turn in turns for phase in (0.0, 1.0)]))
    assert scores.min() > 1
    assert scores.max() - scores.min() < 0.15


def test_other_patterns_score_low():
    turns = torch.linspace(0, math.pi / 2, 9).tolist()
    square = torch.stack([waves(20, 6, [turn, turn + math.pi / 2]) for turn in turns])
    stripes = torch.stack([waves(20, 6, [turn]) for turn in turns])
    assert grid_scores(square).max() < -0.5
    assert grid_scores(stripes).abs().max() < 0.3
    assert abs(grid_scores(noise(400, 20, 1, 2)).mean()) < 0.2


def test_ring_score_agrees_with_turned_pictures():
    "Against turning the whole autocorrelogram by bilinear interpolation, as is usual, and masking rings"
    from scipy.ndimage import rotate

    maps = torch.stack([hexagons(20, 6, 0.3), waves(20, 6, [0.3, 0.3 + math.pi / 2]), *noise(6, 20, 2, 3)])
    scores = grid_scores(maps)
    y, x = torch.meshgrid(torch.arange(39) - 19.0, torch.arange(39) - 19.0, indexing="ij")
    away = (x**2 + y**2).sqrt()
    for picture, score in zip(autocorrelograms(maps), scores, strict=True):
        turned = {d: torch.tensor(rotate(picture.nan_to_num(0).numpy(), d, reshape=False, order=1)) for d in (30, 60, 90, 120, 150)}
        known = {d: torch.tensor(rotate(picture.isfinite().float().numpy(), d, reshape=False, order=1)) > 0.999 for d in turned}
        best = -math.inf
        for k in range(10):
            ring = (away >= 4) & (away <= 20 * (0.4 + 0.6 * k / 9)) & picture.isfinite()
            r = {d: torch.corrcoef(torch.stack([picture[ring & known[d]], turned[d][ring & known[d]]]))[0, 1].item() for d in turned}
            best = max(best, min(r[60], r[120]) - max(r[30], r[90], r[150]))
        assert score.item() == pytest.approx(best, abs=0.15)


def test_score_ignores_units_and_finds_no_pattern_in_a_constant():
    maps = noise(5, 20, 1.5, 4)
    assert torch.allclose(grid_scores(4 * maps + 9), grid_scores(maps), atol=1e-3)
    assert torch.allclose(grid_scores(maps.double()).float(), grid_scores(maps), atol=1e-4)
    assert grid_scores(torch.ones(2, 20, 20)).isnan().all()


# --- chance ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [0.7, 1.5, 3])
def test_control_is_fair(width):
    "Noise passes as often as it should, whatever its smoothness"
    _, p = chance(noise(160, 20, width, 5), generator=seeded(6))
    assert (p <= 0.05).float().mean() <= 0.12  # 0.05 ± 0.017
    assert 0.3 < (p <= 0.5).float().mean() < 0.7
    assert p.min() >= 1 / 40 and p.max() <= 1


def test_lattices_pass():
    _, p = chance(torch.stack([hexagons(20, 6, 0.1 * k) + 0.3 * noise(1, 20, 1, k)[0] for k in range(10)]), generator=seeded(7))
    assert (p <= 0.05).all()


def test_surrogates_keep_the_scales_and_lose_the_direction():
    "Stripes have one direction; their surrogates have the same power at that wavelength, in all directions"
    stripes = waves(20, 5, [0.0])[None]
    others = surrogates(stripes, 300, seeded(8))[:, 0]
    power = torch.fft.fft2(others).abs().square().mean(0)
    assert power[0, 4] == pytest.approx(power[4, 0].item(), rel=0.3)  # four waves across the box, and along it
    assert power[0, 4] > 5 * power[0, 8]
    assert torch.equal(surrogates(stripes, 2, seeded(8)), surrogates(stripes, 2, seeded(8)))


def test_neighbours_that_share_maps_are_found():
    places, pictures = torch.arange(30.0).repeat(2), noise(30, 20, 2, 9)
    distances = (places[:, None] - places).abs()
    assert neighbour_likeness(pictures.repeat(2, 1, 1), distances, share=30 / 1770) > 0.9
    assert abs(neighbour_likeness(pictures.repeat_interleave(2, 0), distances, share=30 / 1770)) < 0.2
    silent = torch.cat([pictures[:9], torch.zeros(21, 20, 20)])
    assert math.isnan(neighbour_likeness(silent, distances[:30, :30]))


# --- networks ----------------------------------------------------------------------------------------------------------


def test_maps_of_a_network():
    task = Navigation(NavigationConfig(scale="tiny", device="cpu", seeds=2))
    model = task.model(task.generators("weights"))
    maps = network_maps(task, model)
    assert maps.shape == (2, 32, 20, 20) and maps.isfinite().all() and (maps >= 0).all()
    found = judge(maps, torch.rand(2, 32, 32), seeded(0))
    assert set(found) == {"fire", "score", "highest", "pass", "neighbours"}
    assert all(len(values) == 2 for values in found.values()) and all(0 <= x <= 1 for x in found["fire"] + found["pass"])
