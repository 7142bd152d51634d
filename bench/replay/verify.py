"""Check a run of any origin: what its tables show is computed again, and compared with what its files say.

Files are compared with the manifest, run.json with the configuration and the data, episodes.csv with the protocol, and the recorded returns
with those of the stored policies, which play the episodes again from the same starts. On the same machine every return must be equal. On
others rounding differs, and chaotic physics magnifies it: the tolerance is then that of `bench.replay.tolerance`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from bench.config.saved import load_config, read_config
from bench.config.schema import Config
from bench.errors import ConfigError, RunError
from bench.numbers import spell_return
from bench.replay.claims import STATED, data_entries, differing
from bench.replay.findings import Findings, Verdict
from bench.replay.load import LoadedRun, check_memory, environment_of, read_policy
from bench.replay.replays import Player, Replay, open_environments
from bench.replay.tolerance import GOAL
from bench.results.derive import disagreements
from bench.results.episodes import of_mode, read_episodes
from bench.storage import manifest
from bench.storage.hashes import FORMAT, hashes_of
from bench.storage.identity import evaluations, identity, modes, on_the_way
from bench.storage.layout import SUCCESS, Row, kept_policies
from bench.storage.record import read_record
from bench.storage.tensors import DamagedError, unpack
from bench.training.device import device_of
from bench.training.evaluate import finite
from bench.training.record import machine_facts, same_machine
from bench.training.shared import Shared
from envs.data.logged_data import LoggedData
from envs.errors import DataError
from envs.evaluation.rollout import Returns

PLAYS = 8  # of every episode, where rounding differs


def verify(folder: Path, workers: int | None = None, download: bool = False, plays: int = PLAYS) -> Verdict:
    """Check the run in `folder`, with `workers` processes that step environments (default: one per core).

    download: data sets that are not on this machine may be downloaded, recorded or converted; the run names them, and may be a stranger's.
    plays: times that each episode is played where rounding differs, at least 2; more find smaller forgeries. Raises RunError or ConfigError
    for a folder that holds no finished run or whose policies are damaged.
    """
    if plays < 2:
        raise RunError(f"--plays {plays}: expected at least 2")
    found = Findings()
    record, config = read_record(folder), load_config(folder)
    try:
        own = identity(read_config(folder))
    except (KeyError, TypeError) as error:  # cut off: the configuration lacks what its run had
        raise RunError(f"{folder}/config.yaml: no configuration of a run ({type(error).__name__}: {error})") from error
    if "environment" not in record:
        raise RunError(f"{folder}/run.json: no key 'environment', an earlier version wrote it; run it again with force=true")
    _check_files(folder, record, found)
    with Shared(download=download) as shared:
        data = _check_record(config, record, own, shared, found)
    episodes = _check_rows(folder, record | own, found)
    environment = environment_of(record) if data is None else _placeholder(record, data)
    path = folder / "policy.safetensors"
    parameters = read_policy(path)
    check_memory(path, config, record, parameters)
    run = LoadedRun(folder, config, record | own, environment, parameters)
    _check_returns(run, episodes, workers, plays, found)
    found.unverifiable.append(f"that {config.algo.name} trained these policies on these data: only training again shows it")
    found.unverifiable.append(f"{', '.join(STATED)}: statements of the run")
    return found.verdict(folder)


def _check_files(folder: Path, record: Row, found: Findings) -> None:
    """The manifest, and the digest within the checkpoint."""
    if record.get("manifest"):
        damaged = manifest.damage(folder)
        found.differences += damaged
        if not damaged:
            count = len(manifest.covered(folder))
            found.checked.append(f"files: {count} have the digests of {manifest.NAME}, which shows damage and proves no honesty")
    else:
        found.unverifiable.append(f"files: the run has no {manifest.NAME}; an earlier version wrote it")
    try:
        unpack(folder / "checkpoint.safetensors")
    except FileNotFoundError:
        pass
    except DamagedError as error:
        found.differences.append(f"{folder}/checkpoint.safetensors is damaged ({error})")


def _check_record(config: Config, record: Row, own: Row, shared: Shared, found: Findings) -> LoggedData | None:
    """run.json beside config.yaml and the data, which are returned; None if they are not on this machine."""
    before = len(found.differences)
    found.differences += disagreements(own, record)
    if record.get("format", FORMAT) == FORMAT:
        found.differences += differing(record, hashes_of(config, record))
    else:
        found.unverifiable.append(f"hashes: the run has format {record['format']}, this program {FORMAT}")
    elsewhere = not same_machine(record, machine_facts(device_of("cpu" if record["device"] == "cpu" else "auto")))
    try:
        data, other = shared.run_data(config), shared.pi_ref_data(config)
    except (DataError, RunError) as error:
        found.unknown.append(f"data digest and references: {error}")
        return None
    if record["dataset_digest"] != data.trajectories.digest:
        digests = f"digest {record['dataset_digest'][:12]}, here {data.trajectories.digest[:12]}"
        found.differences.append(f"run.json: the run was trained on other data under the name {config.dataset} ({digests})")
    entries = {k: v for k, v in data_entries(config, data, other).items() if k != "dataset_digest"}
    found.differences += differing(record, entries, elsewhere)
    if len(found.differences) == before:
        seeds = " ".join(map(str, config.seeds))
        row = f"{own['algo']} on {own['dataset']}, seeds {seeds}, {own['updates']} updates, data {data.trajectories.digest[:12]}"
        found.checked.append(f"run.json: {row}; it agrees with config.yaml and the data")
        found.checked.append(f"references: {data.reference or 'none, raw returns'}; those of the data set")
    return data


def _placeholder(record: Row, data: LoggedData) -> LoggedData:
    """The facts of `data`, beside steps as few as a policy needs."""
    entry = {"spec": data.env_spec, "observation_width": data.observation_width, "action_width": data.action_width, **data.units.to_json()}
    return replace(environment_of(record | {"environment": entry}), reference=data.reference)


def _check_rows(folder: Path, expected: Row, found: Findings) -> pd.DataFrame | None:
    """episodes.csv beside the protocol; None if its rows are not those that are expected."""
    try:
        episodes = read_episodes(folder, expected)
    except RunError as error:
        found.differences.append(str(error).removesuffix("; run it again with force=true"))
        return None
    played = len(list(evaluations(expected)))
    found.checked.append(f"rows: {len(episodes)} episodes of {played} evaluations and {len(expected['seeds'])} seeds, as the protocol asks")
    return episodes


def _check_returns(run: LoadedRun, episodes: pd.DataFrame | None, workers: int | None, plays: int, found: Findings) -> None:
    """The recorded returns beside those of the policies, which play again."""
    try:
        with open_environments(run, workers) as environments:
            player = Player(run, environments, plays)
            _check_final(player, episodes, found)
            _check_on_the_way(player, episodes, found)
    except (DataError, ConfigError) as error:
        found.unknown.append(f"returns: {error}")
    except RunError as error:
        kind = found.differences if "config.yaml asks for" in str(error) else found.unknown
        kind.append(f"returns: {error}")


def _check_final(player: Player, episodes: pd.DataFrame | None, found: Findings) -> None:
    run = player.run
    update, count = run.record["updates"], run.record["final_episodes"]
    algo = player.population(run.parameters)
    failed = [seed for seed, alive in zip(run.config.seeds, finite(algo), strict=True) if not alive]
    found.differences += differing(run.record, {"failed_seeds": failed, "parameters": algo.parameters})
    for sampled in modes(actions := run.record["actions"], last=True):
        if episodes is None:
            played = player.play(run.parameters, update, count, sampled=sampled)
        else:
            recorded = _recorded(run, episodes, update, sampled)
            replay = player.replay(run.parameters, update, recorded, sampled, spread=_spread(run))
            played = replay.played
            what = "last" + (", sampled actions" if sampled else "")
            kind = found.differences if not replay.agrees else found.checked if replay.decides else found.unknown
            kind.append(f"{what}: {_explain(player, replay, recorded, update)}")
        if sampled == (actions == "sampled"):
            found.value = _spell(run, played.returns)
    if episodes is None:
        found.unknown.append("returns: episodes.csv has no recorded return to compare")


def _check_on_the_way(player: Player, episodes: pd.DataFrame | None, found: Findings) -> None:
    """The evaluations that `best` and `mean_last_k` choose from."""
    run, updates = player.run, on_the_way(player.run.record)
    kept, names = kept_policies(run.folder), f"best, mean_last_{min(run.record['last_k'], len(updates) + 1)}"
    if missing := next((u for u in updates if u not in kept), None):
        reason = f"the policies after {missing} updates were not kept (eval.keep_policies=true keeps them)"
        found.unverifiable.append(f"{names}: not verifiable, {reason}")
        return
    if episodes is None:
        return
    different: list[str] = []
    undecided: list[str] = []
    tolerated = 0
    (sampled,) = modes(run.record["actions"], last=False)
    for update in updates:
        recorded = _recorded(run, episodes, update, sampled)
        # Another population may have played it, if the run was interrupted: batches of another shape round differently.
        replay = player.replay(read_policy(kept[update]), update, recorded, sampled, strict=False, tests=len(updates), spread=_spread(run))
        tolerated += bool(replay.agrees and not replay.equal.all())
        if not replay.agrees or not replay.decides:
            (undecided if replay.agrees else different).append(f"{names}: {_explain(player, replay, recorded, update)}")
    found.differences += different
    found.unknown += undecided
    if different or undecided:
        return
    if len(updates):
        how = "equal" if not tolerated else f"equal or, {tolerated} of them, within the noise of rounding"
        found.checked.append(f"{names}: all {len(updates)} evaluations on the way are {how}")
    else:
        found.checked.append(f"{names}: the run has one evaluation, the last")


def _recorded(run: LoadedRun, episodes: pd.DataFrame, update: int, sampled: bool) -> Returns:
    """The recorded evaluation after `update` with mean or `sampled` actions, [S, E] each; its rows are in order."""
    seeds, own = len(run.config.seeds), of_mode(episodes, sampled)
    rows = own[own["update"] == update]
    successes = rows[SUCCESS].to_numpy(float) if SUCCESS in rows else np.full(len(rows), np.nan)
    return Returns(*(x.reshape(seeds, -1) for x in (rows["return"].to_numpy(float), rows["length"].to_numpy(), successes)))


def _spread(run: LoadedRun) -> float:
    """A scale of returns for a policy whose returns are all equal: a tenth of the range of the references."""
    reference = run.environment.reference
    return 0.0 if reference is None else abs(reference.expert - reference.random) / 10


def _explain(player: Player, replay: Replay, recorded: Returns, update: int) -> str:
    """A line on one evaluation."""
    equal, run = replay.equal, player.run
    if equal.all():
        return f"all {equal.size} episodes after {update} updates are equal"
    member, episode = (int(k) for k in np.argwhere(~equal)[0])
    first = f"seed {run.config.seeds[member]}, episode {episode}"
    values = f"recorded {recorded.returns[member, episode]:.6g}, played again {replay.played.returns[member, episode]:.6g}"
    means = (
        f"mean recorded {spell_return(float(recorded.returns.mean()))}, played again {spell_return(float(replay.played.returns.mean()))}"
    )
    count = f"{int((~equal).sum())} of {equal.size} episodes after {update} updates differ"
    if replay.exact:
        return f"{count} on the machine that trained them, the first: {first}, {values}; {means}"
    if replay.comparison is None:
        return f"{count}, and failed episodes are others, the first: {first}, {values}"
    comparison = replay.comparison
    where = comparison.what if comparison.seed is None else f"the mean of seed {run.config.seeds[comparison.seed]}"
    if not comparison.within:
        return f"{count}; {where} is {comparison.worst:.1f} tolerances off, played {replay.plays} times each; {means}"
    power = f"a change of the mean by {spell_return(comparison.smallest)} ({comparison.share:.1%}) would be found 99 times in 100"
    if not replay.decides:
        least = f"{spell_return(comparison.bound)} ({abs(comparison.bound / comparison.mean):.1%})" if comparison.mean else "none"
        power += f", not one of {GOAL:.0%} (with these episodes no verifier finds less than {least}); more seeds or --plays find more"
    return f"{count} by the noise of rounding on another machine, played {replay.plays} times each; {means}; {power}"


def _spell(run: LoadedRun, returns: np.ndarray) -> str:
    """The row's value: the mean over seeds and episodes; a failed episode counts as a random policy's."""
    reference = run.environment.reference
    counted = np.where(np.isnan(returns), np.nan if reference is None else reference.random, returns).mean()
    value = f"return {spell_return(float(counted))}"
    return f"{value}, computed here" if reference is None else f"score {float(reference.score(counted)):.2f} ({value}), computed here"
