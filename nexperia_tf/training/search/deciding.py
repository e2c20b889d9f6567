"""`--recipe search`: tries a short list of recipes, and gives the one to train with.

Only the training split is looked at: each of its parts is left out in turn. Validation,
calibration and test stay what they are, so what is computed on them later is not
touched by the search.
"""

import dataclasses
import math
import pathlib
from collections.abc import Iterable, Mapping, Sequence

import rich
import rich.box
import rich.table

from nexperia_tf import configs, errors, files, predictions, sizes
from nexperia_tf.configs import candidates, recipes
from nexperia_tf.data.records import reading
from nexperia_tf.evaluation import recipes_tried, slices
from nexperia_tf.runs import run_folders
from nexperia_tf.statistics import clustered, halving, intervals
from nexperia_tf.training import devices, image_size, recipe, run_data, run_start
from nexperia_tf.training.search import parts as parting
from nexperia_tf.training.search import plan as planning
from nexperia_tf.training.search import trial as trials

SLACK = 1.1  # times the seconds that are expected
STANDARD = candidates.STANDARD


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A candidate that can be trained.

    Attributes:
        candidate: its name and changes.
        config: as `run_data.closed` gives it.
    """

    candidate: candidates.Candidate
    config: configs.Config


def decided(
    config: configs.Config,
    records: run_data.Records,
    folder: pathlib.Path,
    workers: devices.Workers,
) -> configs.Config:
    """The config with what a search has found, where it asks for one.

    Args:
        config: as it is asked for.
        records: of the run.
        folder: of the run; what is tried goes to `search/` in it.
        workers: that train.

    Raises:
        errors.BadInput: the minutes are too few, or a plan is for other pictures.
    """
    began = folder / run_folders.CONFIG
    if began.is_file():
        config = recipe.as_begun(config, began)
    if not recipes.searches(config):
        return config
    if workers.count > 1:
        raise errors.BadInput(
            "--recipe search: one process searches; search without --strategy "
            "multiworker, then train with --config RUN/config.json on all machines."
        )
    rows = records.train
    parts = parting.of(rows, seed=config.run.seed)
    if not parts:
        print(
            "warning: recipe search: groups or defects of the training split are too "
            "few to leave a part out; nothing is tried, the standard recipe is taken."
        )
        return config
    setup = trials.Setup(records, workers, tuple(parts))
    return _searched(config, setup, folder)


def _searched(
    asked: configs.Config, setup: trials.Setup, folder: pathlib.Path
) -> configs.Config:
    """Plans, tries, chooses; gives the config of what it took, epochs and all."""
    known = folder / recipes_tried.FOLDER / recipes_tried.PLAN
    source = known if known.is_file() else asked.recipe.search_plan
    if source:
        plan = planning.read(source)
        _check_fits(plan, asked, setup, str(source))
        asked = asked.changed(time_budget=plan.minutes)
        tried = _closed(asked, setup, folder, plan.recipes)
        _check_all(plan, tried, str(source))
    else:
        tried = _closed(asked, setup, folder, _listed(asked, setup, folder))
        if len(tried) < planning.FEWEST:
            print("recipe search: the flags leave the standard recipe alone to try.")
            return tried[0].config
        plan = _planned(asked, setup, tried)
    by_name = {each.candidate.name: each.config for each in tried}
    data = _begin(folder, asked, plan, setup, by_name[STANDARD])
    print(plan.described(), flush=True)
    chosen = _Search(setup, plan, by_name, known.parent).run()
    recipes_tried.write(known.parent, chosen)
    show(chosen)
    config, data = run_data.dealt(
        by_name[chosen.took], setup.records, data.training_set
    )
    found = {"took": chosen.took, "plan_sha256": files.sha256(known)}
    facts = run_start.facts_of(config, data) | {"search": found}
    # From here on nothing is open, and the run is one like any other.
    files.write_json(folder / run_folders.CONFIG, configs.to_json(config, facts))
    return config


def _begin(
    folder: pathlib.Path,
    asked: configs.Config,
    plan: planning.Plan,
    setup: trials.Setup,
    standard: configs.Config,
) -> run_data.Data:
    """Makes the run folder with what was asked, open as it is, and with the plan."""
    records = setup.records
    training_set = run_data.training_set_of(asked, folder, records.rows)
    run_data.check_seen(asked, records.rows, training_set, say=False)
    closed, data = run_data.dealt(standard, records, training_set)

    def write_plan(partial: pathlib.Path) -> None:
        (partial / recipes_tried.FOLDER).mkdir()
        planning.write(partial / recipes_tried.FOLDER / recipes_tried.PLAN, plan)

    facts = run_start.facts_of(closed, data)
    run_start.begin(folder, asked, data, facts, more=write_plan)
    return data


def _listed(
    asked: configs.Config, setup: trials.Setup, folder: pathlib.Path
) -> Sequence[candidates.Candidate]:
    rows = setup.records.train
    standard, _ = run_data.closed(asked, setup.records, folder, setup.workers)
    size = sizes.Size.of(standard.pictures.image_size)
    return candidates.listed(asked, size=size, shown_at=image_size.shown_at(size, rows))


def _closed(
    asked: configs.Config,
    setup: trials.Setup,
    folder: pathlib.Path,
    listed: Iterable[candidates.Candidate],
) -> list[Recipe]:
    """The candidates that can be trained; of two that come to the same the first."""
    found: list[Recipe] = []
    for candidate in listed:
        try:
            config, _ = run_data.closed(
                candidate.of(asked), setup.records, folder, setup.workers
            )
        except errors.BadInput:
            if candidate.name == STANDARD:
                raise
            continue
        if all(config != other.config for other in found):
            found.append(Recipe(candidate, config))
    return found


def _check_fits(
    plan: planning.Plan, asked: configs.Config, setup: trials.Setup, where: str
) -> None:
    """Refuses a plan that was made for something else."""
    here = parting.counted(setup.records.train, setup.parts)
    if (plan.parts, plan.seed) != (here, asked.run.seed):
        raise errors.BadInput(
            f"{where}: was made with --seed {plan.seed} for parts of "
            f"{_sizes(plan.parts)} devices, not with --seed {asked.run.seed} for "
            f"{_sizes(here)}; name the plan of a run on the same pictures."
        )
    for candidate in plan.recipes:
        candidate.of(asked)  # or a flag says otherwise


def _check_all(plan: planning.Plan, tried: Sequence[Recipe], where: str) -> None:
    """Refuses a plan with a recipe that is no other, or none at all, here."""
    there = [each.candidate.name for each in tried]
    for name in (each.name for each in plan.recipes):
        if name not in there:
            raise errors.BadInput(
                f"{where}: recipe {name} is the same as another one with these flags "
                "and pictures, or cannot be trained; leave the flags out, or plan anew "
                "with --time-budget."
            )


def _sizes(parts: Sequence[planning.Part]) -> str:
    return ", ".join(str(part.devices) for part in parts)


@dataclasses.dataclass(frozen=True)
class _Expected:
    """Seconds of each recipe: of a trial beside its steps, of the steps, of a run."""

    fixed: list[float]
    lengths: list[float]
    finals: list[float]

    @classmethod
    def of(
        cls, cost: planning.Cost, setup: trials.Setup, tried: Sequence[Recipe]
    ) -> "_Expected":
        counts = reading.split_sizes(setup.records.dataset)
        areas = [sizes.Size.of(t.config.pictures.image_size).area for t in tried]
        found = cls([], [], [])
        for each, area in zip(tried, (area / areas[0] for area in areas)):
            length = setup.length(each.config, 0)
            whole = trials.length_of(*setup.whole(each.config))
            fixed = cost.setup * (2 if length.first_epochs else 1)
            total = cost.of(length, len(setup.parts[0]), area=area)
            final = cost.of(whole, counts["validation"], area=area)
            final += cost.finish(sum(counts.values()), area=area)
            found.fixed.append(SLACK * fixed)
            found.lengths.append(SLACK * (total - fixed))
            found.finals.append(SLACK * final)
        return found


def _planned(
    asked: configs.Config, setup: trials.Setup, tried: Sequence[Recipe]
) -> planning.Plan:
    """Times a few steps, and makes the plan of them."""
    cost = trials.measured(setup, tried[0].config)
    times = _Expected.of(cost, setup, tried)
    costs = times.fixed, times.lengths, times.finals
    minutes, count = asked.run.time_budget, len(setup.parts)
    rungs = planning.fitted(*costs, parts=count, seconds=60 * minutes)
    if not rungs:
        needed = math.ceil(planning.least(*costs, parts=count) / 60)
        raise errors.BadInput(
            f"--time-budget {minutes:g}: the shortest search and the training after it "
            f"take some {needed} minutes on this machine; pass --time-budget {needed} "
            "or more, or --recipe standard."
        )
    n = rungs[0].recipes
    tried = tried[:n]
    steps = {
        (each.candidate.name, part): setup.length(each.config, part)
        for each in tried
        for part in range(count)
    }
    return planning.Plan(
        minutes,
        asked.run.seed,
        parting.counted(setup.records.train, setup.parts),
        tuple(each.candidate for each in tried),
        planning.with_trials(rungs, steps),
        {
            "setup": round(cost.setup, 2),
            "step": round(cost.step, 4),
            "trials": round(
                planning.expected(rungs, times.fixed[:n], times.lengths[:n])
            ),
            "training": round(max(times.finals[:n])),
        },
    )


class _Search:
    """The trials of a plan, those that were done before among them."""

    def __init__(
        self,
        setup: trials.Setup,
        plan: planning.Plan,
        tried: Mapping[str, configs.Config],
        folder: pathlib.Path,
    ):
        self._setup = setup
        self._plan = plan
        self._recipes = tried
        self._flags = {each.name: each.flags for each in plan.recipes}
        self._folder = folder
        self._lines = recipes_tried.read_trials(folder)
        self._scored: list[halving.Trial] = []
        self._held = trials.Held()

    def run(self) -> recipes_tried.Search:
        """Tries what has not been tried, and chooses."""
        alive = [each.name for each in self._plan.recipes]
        for number, rung in enumerate(self._plan.rungs):
            for planned in rung.trials:
                if planned.recipe in alive:
                    self._try(number, planned)
            aucs = halving.means(self._scored, number)
            alive = halving.survivors(aucs, rung.keeps, standard=STANDARD)
            if rung.keeps > 1:
                print(f"recipe search: {', '.join(alive)} go on")
        return self._chosen()

    def _try(self, rung: int, planned: planning.PlannedTrial) -> None:
        name = f"{rung + 1}-{planned.recipe.replace(' ', '-')}-{planned.part + 1}"
        scores = self._folder / recipes_tried.SCORES / f"{name}.csv"
        key = planned.recipe, rung + 1, planned.part + 1
        is_done = key in [(t.recipe, t.rung, t.part) for t in self._lines]
        if not (is_done and scores.is_file()):
            place = self._folder / f"trial-{name}"
            config = self._recipes[planned.recipe]
            self._held.hold(self._setup, config)
            table, seconds = trials.run(self._setup, config, planned, place)
            scores.parent.mkdir(exist_ok=True)
            predictions.write(scores, table)
            self._note(rung, planned, seconds, _read(scores, rung, planned))
            trials.remove(place)
        self._scored.append(_read(scores, rung, planned))

    def _note(
        self,
        rung: int,
        planned: planning.PlannedTrial,
        seconds: float,
        scored: halving.Trial,
    ) -> None:
        """A line of tried.csv, and one on the screen."""
        within = slices.within_groups(scored.labels, scored.scores, scored.groups)
        line = recipes_tried.Trial(
            planned.recipe,
            self._flags[planned.recipe],
            rung + 1,
            planned.part + 1,
            planned.steps,
            scored.auc,
            within[0] if within else None,
            seconds,
        )
        self._lines = [t for t in self._lines if _key(t) != _key(line)] + [line]
        recipes_tried.write_trials(self._folder, self._lines)
        print(
            f"round {line.rung} of {len(self._plan.rungs)}  {line.recipe:12} without "
            f"part {line.part}  {line.steps:,} steps  AUC {line.auc:.3f}  "
            f"{seconds:.0f} s",
            flush=True,  # a log is read while it grows
        )

    def _chosen(self) -> recipes_tried.Search:
        last = len(self._plan.rungs) - 1
        chosen = halving.choose(
            [trial for trial in self._scored if trial.rung == last],
            standard=STANDARD,
            seed=self._plan.seed,
        )
        return recipes_tried.Search(
            took=chosen.recipe,
            flags=self._flags[chosen.recipe],
            best=chosen.best,
            better_in=chosen.better_in,
            auc=chosen.auc,
            corrected=chosen.corrected,
            confidence=intervals.CONFIDENCE,
            groups=clustered.count([r.group for r in self._setup.records.train]),
            rows=recipes_tried.by_rung(self._lines),
        )


def _key(line: recipes_tried.Trial) -> tuple[str, int, int]:
    return line.recipe, line.rung, line.part


def _read(
    path: pathlib.Path, rung: int, planned: planning.PlannedTrial
) -> halving.Trial:
    """The scores that a trial has left, as they are chosen by."""
    table = predictions.read(path)
    groups = table.columns.get("group")
    return halving.Trial(
        planned.recipe,
        rung,
        planned.part,
        table.label,
        table.score,
        [""] * len(table) if groups is None else list(groups),
    )


def show(search: recipes_tried.Search) -> None:
    """Prints what was tried, and what was taken."""
    shown = rich.table.Table(box=rich.box.SIMPLE, pad_edge=False)
    shown.add_column("round", justify="right")
    shown.add_column("recipe", no_wrap=True)
    for title in ("parts", "steps", "AUC", "within groups", "seconds"):
        shown.add_column(title, justify="right")
    for row in search.rows:
        within = row.auc_within_groups
        shown.add_row(
            str(row.rung),
            row.recipe,
            str(row.parts),
            f"{row.steps:,}",
            f"{row.auc:.3f}",
            "" if within is None else f"{within:.3f}",
            f"{row.seconds:.0f}",
        )
    rich.print(shown)
    for name, flags in {row.recipe: row.flags for row in search.rows}.items():
        if flags:
            print(f"{name}: {flags}")
    print(search.said, flush=True)
