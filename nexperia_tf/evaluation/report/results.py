"""The contents of a report, as frozen dataclasses: page, terminal and study read these.

`judging`, `comparisons` and `devices` make them, `Report.as_json` gives report.json at
the very end. A report is always a list of runs, also of a single one.
"""

import dataclasses
from collections.abc import Mapping

from nexperia_tf.evaluation import (
    heatmaps,
    recipes_tried,
    repeatability,
    serialise,
    slices,
)
from nexperia_tf.runs import run_folders, training_pictures
from nexperia_tf.statistics import (
    calibration,
    certificate,
    clustered,
    intervals,
    metrics,
    operating_point,
)

SCHEMA = 1  # of report.json


@dataclasses.dataclass(frozen=True)
class Settings:
    """What was asked of an evaluation.

    Attributes:
        max_escape: escape rate to certify.
        max_overkill: rate of good devices to reject without review.
        confidence: of guarantees and of every interval.
        prevalence: share of defects on the line; None shows several.
        golden: devices that must never escape.
    """

    max_escape: float = certificate.MAX_ESCAPE
    max_overkill: float = operating_point.MAX_OVERKILL
    confidence: float = certificate.CONFIDENCE
    prevalence: float | None = None
    golden: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Auc(clustered.Headline):
    """An AUC with its limits and the confidence that these have."""

    confidence: float = intervals.CONFIDENCE


@dataclasses.dataclass(frozen=True)
class PartialAuc:
    """The AUC above a catch rate."""

    min_tpr: float
    value: float


@dataclasses.dataclass(frozen=True)
class Rate(intervals.Interval):
    """A share of devices with its limits: `count` of `of`."""

    count: int
    of: int


@dataclasses.dataclass(frozen=True)
class OverkillAt(metrics.OperatingPoint):
    """The overkill at a catch rate, with its limits.

    Attributes:
        low, high: limits; no upper one where the defects are too few.
        no_upper_limit: why there is none.
        same_as: a lower catch rate that asks for the same number of these defects.
    """

    low: float
    high: float | None
    no_upper_limit: str | None
    same_as: float | None


@dataclasses.dataclass(frozen=True)
class OperatingPoint(certificate.Certificate):
    """The proposed threshold: what it certifies, and what it does here.

    Attributes:
        in_sample: whether judged devices are among those that set it; their own
            escapes prove nothing then.
        judged: judged devices.
        judged_that_set_it: how many of them set it.
        broken: whether more defects escape here than chance explains: these devices
            are not like those of calibration.
        escape_rate, overkill_rate: of the judged devices.
    """

    in_sample: bool
    judged: int
    judged_that_set_it: int
    broken: bool
    escape_rate: Rate
    overkill_rate: Rate


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReviewBand(operating_point.Band):
    """The review band, and what it does to the judged devices.

    Attributes:
        joint_confidence: of both edges together.
        review_rate: share of the judged devices that is reviewed.
        good, defect: how the devices of each class are decided.
    """

    joint_confidence: float
    review_rate: Rate
    good: operating_point.Shares
    defect: operating_point.Shares


@dataclasses.dataclass(frozen=True)
class Range:
    """A figure that follows from a rate, with what follows from its limits."""

    value: float
    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class Economics:
    """What the threshold means for a line with a given share of defects.

    Attributes:
        prevalence: the share of defects on the line.
        yield_loss: good devices rejected, as a share of all.
        dppm: defective parts per million shipped.
        dppm_certified: the most that the certified escape rate lets through.
        dppm_uninspected: what no inspection ships.
        review_rate: share of all devices in the review band.
    """

    prevalence: float
    yield_loss: Range
    dppm: Range
    dppm_certified: float
    dppm_uninspected: float
    review_rate: float


def _was_fitted(check: "CalibrationCheck") -> bool:
    return check.temperature_left is not None


@dataclasses.dataclass(frozen=True)
class CalibrationCheck:
    """Whether scores are probabilities.

    Attributes:
        bins: share of defects by score.
        temperature_left, offset_left: what calibration devices would still change, 1
            and 0 where scores are calibrated; None where there are no such devices.
        brier_rescaled, log_loss_rescaled: of the judged devices after that change.
    """

    bins: tuple[calibration.Bin, ...]
    temperature_left: float | None = None
    offset_left: float | None = None
    brier_rescaled: float | None = dataclasses.field(
        default=None, metadata={"written": _was_fitted}
    )
    log_loss_rescaled: float | None = dataclasses.field(
        default=None, metadata={"written": _was_fitted}
    )


@dataclasses.dataclass(frozen=True)
class WithinGroups:
    """AUC over pairs of devices of one group."""

    value: float
    pairs: int


def _were_split(auc: "Generalisation") -> bool:
    return auc.n_seen is not None


@dataclasses.dataclass(frozen=True)
class Generalisation:
    """The AUC with and without help from a known group, as far as is known.

    Attributes:
        seen, unseen: AUC of devices whose group training saw, and of the others.
        within_groups: AUC where the group itself cannot help.
        n_seen, n_unseen: devices of each; None where nobody knows what training saw.
    """

    seen: clustered.Headline | None = None
    unseen: clustered.Headline | None = None
    within_groups: WithinGroups | None = None
    n_seen: int | None = dataclasses.field(
        default=None, metadata={"written": _were_split}
    )
    n_unseen: int | None = dataclasses.field(
        default=None, metadata={"written": _were_split}
    )


def _some_were_seen(seen: "SeenInTraining") -> bool:
    return seen.count > 0


@dataclasses.dataclass(frozen=True)
class SeenInTraining(training_pictures.OverlapCounts):
    """How many judged pictures a model was trained on, and its AUC without them.

    Attributes:
        auc_without: of the others; None where none, or one class alone, is left.
    """

    auc_without: Auc | None = dataclasses.field(
        default=None, metadata={"written": _some_were_seen}
    )

    @classmethod
    def of(cls, written: Mapping | None) -> "SeenInTraining | None":
        """What a run's metrics.json says; older runs do not."""
        if written is None:
            return None
        auc = written.get("auc_without")
        return cls(**{**written, "auc_without": auc and Auc(**auc)})


@dataclasses.dataclass(frozen=True)
class InForce(run_folders.Calibration):
    """The threshold in force, and what it does to the judged devices.

    Attributes:
        is_guaranteed: whether it was stored with a guarantee.
        described: the threshold and where it comes from, in words.
        can_be_replaced: whether nexperia evaluate can store another one there.
        escape_rate, overkill_rate: of the judged devices.
    """

    is_guaranteed: bool = dataclasses.field(
        kw_only=True, metadata={"json": "guaranteed"}
    )
    described: str = dataclasses.field(kw_only=True, metadata={"json": "words"})
    can_be_replaced: bool = dataclasses.field(kw_only=True, metadata={"json": "keeps"})
    escape_rate: Rate = dataclasses.field(kw_only=True)
    overkill_rate: Rate = dataclasses.field(kw_only=True)


@dataclasses.dataclass(frozen=True)
class JudgedAt:
    """The threshold of golden devices, slices and the worst devices."""

    threshold: float
    in_force: bool


@dataclasses.dataclass(frozen=True)
class Confusion:
    """How many devices a threshold decides rightly and wrongly.

    Attributes:
        caught, escaped: defects.
        passed, rejected: good devices.
    """

    caught: int
    escaped: int
    passed: int
    rejected: int


@dataclasses.dataclass(frozen=True)
class ScoredDevice:
    """A device by name, with its score."""

    image_id: str
    score: float


@dataclasses.dataclass(frozen=True)
class Golden:
    """The golden devices: how many there are, and which of them escape."""

    n: int
    escaped: tuple[ScoredDevice, ...]


@dataclasses.dataclass(frozen=True)
class Device(ScoredDevice):
    """A device that is shown: what was decided, and what it is."""

    rejected: bool
    label: int
    defect_type: str


@dataclasses.dataclass(frozen=True)
class ChangedDevice(Device):
    """A device that a second run decides otherwise; the score is the second run's."""

    score_first: float


@dataclasses.dataclass(frozen=True)
class WorstDevices:
    """Defects with the lowest and good devices with the highest scores."""

    escapes: tuple[Device, ...]
    overkills: tuple[Device, ...]


@dataclasses.dataclass(frozen=True)
class Localisation:
    """The pointing game of a model, and of random weights.

    Attributes:
        stage: what the heat maps show, see `heatmaps.LOOKS`.
    """

    stage: str
    model: heatmaps.Localisation
    random: heatmaps.Localisation


@dataclasses.dataclass(frozen=True)
class Performance:
    """The figures of one run.

    Attributes:
        grouped_by: what devices share, "lot" or "group"; None where each is alone.
        other_aucs: other intervals of the AUC, which take devices for independent.
        trained_on: judged pictures that training has seen; None: nobody knows.
    """

    name: str
    source: str
    n: int
    n_defect: int
    grouped_by: str | None
    auc: Auc
    other_aucs: tuple[intervals.Interval, ...] = dataclasses.field(
        metadata={"json": "auc_beside"}
    )
    partial_auc: PartialAuc
    average_precision: float
    brier: float
    log_loss: float
    fpr_at_tpr: tuple[OverkillAt, ...]
    operating_point: OperatingPoint
    band: ReviewBand
    economics: tuple[Economics, ...]
    calibration: CalibrationCheck
    generalisation: Generalisation
    trained_on: SeenInTraining | None


@dataclasses.dataclass(frozen=True)
class OnTheLine:
    """What the threshold in force does; of scores alone the proposed one stands in."""

    in_force: InForce | None
    judged_at: JudgedAt
    confusion: Confusion
    slices: tuple[slices.Slice, ...]
    golden: Golden | None
    worst: WorstDevices


@dataclasses.dataclass(frozen=True)
class Run(OnTheLine, Performance):
    """Everything about one run.

    Attributes:
        localisation: None without a model or boxes.
        baseline: None where nobody knows what simple numbers reach.
        search: which recipes training tried; None where it did not search.
        repeatability: verdicts that flip when pictures change a little; None without a
            model, or where nobody asked.
    """

    localisation: Localisation | None = None
    baseline: "Baseline | None" = dataclasses.field(
        default=None, metadata={"written": lambda run: run.baseline is not None}
    )
    search: recipes_tried.Search | None = dataclasses.field(
        default=None, metadata={"written": lambda run: run.search is not None}
    )
    repeatability: "repeatability.Repeatability | None" = dataclasses.field(
        default=None, metadata={"written": lambda run: run.repeatability is not None}
    )


@dataclasses.dataclass(frozen=True)
class Difference(intervals.Interval):
    """AUC of a first run minus that of a second, with paired limits."""

    confidence: float


@dataclasses.dataclass(frozen=True)
class Bootstrap:
    """Percentile limits of the paired bootstrap, and what was resampled."""

    low: float
    high: float
    resampled: str
    units: int


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Two runs on the same devices; see `statistics.comparison.Difference`."""

    first: str
    second: str
    difference: Difference
    p_delong: float
    p_bootstrap: float
    bootstrap: Bootstrap
    p_jackknife: float | None
    p_sign_flip: float | None
    p: float
    p_adjusted: float
    family: int
    groups_needed: int | None
    verdict: str
    devices_needed: int | None
    grouped_by: str | None


@dataclasses.dataclass(frozen=True)
class ChangedDevices:
    """Devices that changed sides: how many, and the most surprising of them."""

    count: int
    devices: tuple[ChangedDevice, ...]


@dataclasses.dataclass(frozen=True)
class Changes:
    """Devices that two runs decide differently, each at its own threshold."""

    newly_caught: ChangedDevices
    newly_missed: ChangedDevices
    newly_overkilled: ChangedDevices
    newly_passed: ChangedDevices


@dataclasses.dataclass(frozen=True)
class RunComparison(Changes, Comparison):
    """Two runs of a report, and the devices that they decide differently."""


@dataclasses.dataclass(frozen=True)
class Baseline:
    """What simple numbers alone reach on the judged devices, beside a run.

    Attributes:
        model: what was fitted on the numbers.
        alone: AUC of single numbers, by name, the best in training first.
        difference: AUC of the run minus the baseline's, with paired limits and tests;
            None where a class has too few devices to test.
        beaten: whether the run is better by the paired test.
        said: the verdict in one sentence, with what to try.
    """

    model: str
    auc: Auc
    fpr_at_tpr: tuple[OverkillAt, ...]
    alone: Mapping[str, float]
    difference: "Comparison | None"
    beaten: bool
    said: str


@dataclasses.dataclass(frozen=True)
class OtherLabels:
    """The labels of `--labels`.

    Attributes:
        source: their file.
        to_defect, to_good: judged devices whose label they change.
        auc_as_given: AUC by the labels before; None without both classes.
    """

    source: str
    to_defect: int
    to_good: int
    auc_as_given: Auc | None


@dataclasses.dataclass(frozen=True)
class Report:
    """Everything in one report.

    Attributes:
        split: the judged one; None for tables, which are judged whole.
        labels: other labels than those of the scores.
        notes: what a reader must know besides.
        runs: at least one.
        settings: what was asked.
        created: ISO time.
        comparisons: every pair of runs.
    """

    split: str | None
    labels: OtherLabels | None
    notes: tuple[str, ...]
    runs: tuple[Run, ...]
    settings: Settings
    created: str
    comparisons: tuple[RunComparison, ...] = ()

    def with_run(self, name: str, **changed) -> "Report":
        """The report with other figures of one run."""
        runs = [
            dataclasses.replace(run, **changed) if run.name == name else run
            for run in self.runs
        ]
        return dataclasses.replace(self, runs=tuple(runs))

    def as_json(self) -> dict:
        """report.json: the first run's keys at the top; several also under `runs`."""
        several = {"runs": self.runs, "comparisons": self.comparisons}
        return serialise.plain(
            {
                "schema": SCHEMA,
                "split": self.split,
                "labels": self.labels,
                "notes": self.notes,
                **serialise.plain(self.runs[0]),
                "settings": self.settings,
                "created": self.created,
                **(several if len(self.runs) > 1 else {}),
            }
        )
