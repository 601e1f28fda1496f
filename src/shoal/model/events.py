"""What happens to clusters: born, died, split, merged, grew, shrank, moved.

The kinds are those of MONIC (Spiliopoulou et al. 2006) under everyday names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self, get_args

from shoal.errors import BadInputError

Kind = Literal["born", "died", "split", "merged", "grew", "shrank", "moved"]
KINDS: tuple[str, ...] = get_args(Kind)


@dataclass(frozen=True)
class Event:
    """One change of one cluster.

    >>> str(Event("split", 60.0, 7, mass=40.0, share=0.1, parents=(7,), children=(7, 12)))
    'cluster 7 split into 7 and 12 (10.0% of the weight)'
    """

    kind: Kind
    time: float
    """Newest event time when it was noticed, in seconds since 1970; rows seen, where rows have no times."""
    cluster: int
    """Id it is about: the new one of a birth, the old one of a death or a split, the surviving one of a merge."""
    mass: float
    """Weight of the cluster; of a death, the weight it had when it was last seen."""
    share: float
    """The same as a share of all weight."""
    parents: tuple[int, ...] = ()
    children: tuple[int, ...] = ()
    """Of a death: what was split off it a short while ago and lives on. What died was the rest."""
    detail: Mapping[str, Any] = field(default_factory=dict)
    """Of grew and shrank: ``before``, the share when last told. Of moved: ``distance`` in radii."""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise BadInputError(f"event kind is {self.kind!r}", remedy=f"one of {', '.join(KINDS)}")

    def __str__(self) -> str:
        share = f"{self.share:.1%} of the weight"
        if self.kind == "born":
            return f"cluster {self.cluster} born ({share})"
        if self.kind == "died":
            rest = f"; it lives on in {_listed(self.children)}" if self.children else ""
            return f"cluster {self.cluster} died (it had {share}){rest}"
        if self.kind == "split":
            return f"cluster {self.cluster} split into {_listed(self.children)} ({share})"
        if self.kind == "merged":
            noun = "cluster" if len(self.parents) == 1 else "clusters"
            return f"{noun} {_listed(self.parents)} merged into {self.cluster} ({share})"
        if self.kind == "moved":
            return f"cluster {self.cluster} moved by {self.detail['distance']:.1f} radii ({share})"
        return f"cluster {self.cluster} {self.kind} from {self.detail['before']:.1%} to {share}"

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self) | {"parents": list(self.parents), "children": list(self.children)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Inverse of :meth:`to_dict`."""
        return cls(
            data["kind"],
            float(data["time"]),
            int(data["cluster"]),
            float(data["mass"]),
            float(data["share"]),
            tuple(int(i) for i in data.get("parents", ())),
            tuple(int(i) for i in data.get("children", ())),
            dict(data.get("detail") or {}),
        )


def _listed(ids: tuple[int, ...]) -> str:
    *first, last = (str(i) for i in ids)
    return f"{', '.join(first)} and {last}" if first else last
