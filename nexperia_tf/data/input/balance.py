"""How much good devices and defects count: what `--balance` comes to."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Balance:
    """What `--balance` comes to for the devices that an epoch shows.

    Attributes:
        kind: `none`, `loss` (devices are weighed) or `sampling` (batches hold as many
            of both classes).
        good, defects: devices with these labels that are learned from.
        drawn: share of the good ones on which a defect is drawn, which then count as
            defects.
    """

    kind: str
    _: dataclasses.KW_ONLY
    good: int
    defects: int
    drawn: float = 0.0

    @classmethod
    def of(
        cls,
        labels: np.ndarray,
        *,
        kind: str = "none",
        drawn: float = 0.0,
        drawn_only: bool = False,
    ) -> "Balance":
        """The balance of training devices.

        Args:
            labels: `(devices,)`, 1 for a defect, 0 for good, else left out.
            kind: as the attribute.
            drawn: as the attribute.
            drawn_only: whether the given defects are left out.
        """
        defects = int(np.sum(np.asarray(labels) == 1))
        good = int(np.sum(np.asarray(labels) == 0))
        return cls(kind, good=good, defects=0 if drawn_only else defects, drawn=drawn)

    @property
    def devices(self) -> int:
        """Devices that an epoch shows, before anything is balanced."""
        return self.good + self.defects

    @property
    def showing(self) -> float:
        """Of them show a defect, a given or a drawn one."""
        return self.drawn * self.good + self.defects

    @property
    def share(self) -> float:
        """Share of defects, drawn ones too, before anything is balanced."""
        return self.showing / self.devices

    @property
    def drawn_part(self) -> float:
        """Share of drawn defects among all that are shown."""
        return self.drawn * self.good / self.showing

    @property
    def prior(self) -> float:
        """Share of defects that the network learns: balanced classes are alike."""
        return self.share if self.kind == "none" else 0.5

    @property
    def by_sampling(self) -> bool:
        """Whether batches hold as many of both classes."""
        return self.kind == "sampling"

    @property
    def by_loss(self) -> bool:
        """Whether devices are weighed, as `weights` does."""
        return self.kind == "loss"

    def weights(self, labels):
        """Weights by which both classes count the same; 1 on average.

        Args:
            labels: `(batch,)`, 1 for defect; mixed pictures have labels in between.
        """
        defect, good = 0.5 / self.share, 0.5 / (1 - self.share)
        return labels * defect + (1 - labels) * good
