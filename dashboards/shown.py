"""Expressions of panels: each reads what the parts say themselves, or for a long time what is recorded of it."""

from dashboards.recorded import INCREASE, STUDIO, Recorded, name
from dashboards.recordings import CATALOGUE


def rate_by(metric: str, by: str) -> str:
    """A counter's growth a second by some labels."""
    return _growth(metric, by).shown()


def quantile(share: float, metric: str, by: str = "le") -> str:
    """A histogram's quantile; `by` names `le` and what else is kept."""
    return f"histogram_quantile({share:g}, {rate_by(f'{metric}_bucket', by)})"


def mean(metric: str, by: str) -> str:
    """A histogram's mean by some labels."""
    return f"{rate_by(f'{metric}_sum', by)} / {rate_by(f'{metric}_count', by)}"


def grown(metric: str, by: str, match: str = STUDIO, keep: str = "studio") -> str:
    """A counter's growth in all the time shown, for a figure; `match` and `keep` are of the labels in `by`."""
    return _growth(metric, by).grown(keep, match)


def share(part: str, whole: str) -> str:
    """What part of a whole; 0 when there is no series of the part, since nothing of it ever happened."""
    return f"({part} or 0 * {whole}) / {whole}"


def held(how: str, metric: str, by: str = "studio") -> str:
    """A gauge's largest, least, mean or summed value by some labels."""
    return CATALOGUE[name(metric, by, how)].shown()


def recorded(series: str, match: str = STUDIO) -> str:
    """What a recorded series of that name tells, or those of its series that match."""
    return CATALOGUE[series].shown(match)


def _growth(metric: str, by: str) -> Recorded:
    return CATALOGUE[name(metric, by, INCREASE)]
