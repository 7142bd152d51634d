"""Speed of transformers on token sequences: training and generation of populations beside a plain one-seed PyTorch loop.

suite    BC with policy=transformer: updates of all members, in the processes of a run; whole answers with cached keys and values
plain    torch modules (a pre-norm encoder with a causal mask), torch's Adam, one seed; an answer grows by a pass over all its tokens

Both have the same widths, batches of sequences drawn from the same data and the same prompts. Each round measures every setting once, in
turn; a setting's rate is the median of its rounds, its ratio the median of those to the plain loop of the same round.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from algos.batches.sequences import sequences_of
from algos.methods.weighted_bc import Network, Sampler, WeightedBC, WeightedBCConfig
from algos.networks.transformer import HEAD, WIDER
from bench.config.schema import Config
from bench.report.render import markdown_rows
from bench.speed.machine import device_name
from bench.speed.options import LanguageOptions
from bench.storage.layout import Row
from bench.training.parallel import build_population, processes_for
from envs.data.trajectories import Trajectories
from envs.evaluation.tokens.vocabulary import CONTEXT, END, PAD
from envs.readers.load import load

COLUMNS = (
    "dataset", "batch", "hidden", "device", "torch_version", "kind", "what", "members", "processes", "rounds", "member_rate", "rate",
    "ratio", "ratio_low", "ratio_high",
)  # fmt: skip
"""member_rate: updates, or generated tokens, per second of one member; rate: of all members. ratio: of `rate` to that of the plain loop."""
WHAT = {"train": "updates/s", "tokens": "trained tokens/s", "generate": "generated tokens/s"}
UPDATES = 4  # of the suite at once
Work = Callable[[], float]
"""Work that returns how much was done: updates, or tokens."""


class Plain(nn.Module):
    """The same network in torch's modules, and its optimiser."""

    def __init__(self, vocabulary: int, context: int, width: int, blocks: int) -> None:
        super().__init__()
        self.token, self.position = nn.Embedding(vocabulary, width), nn.Embedding(context, width)
        layer = nn.TransformerEncoderLayer(width, width // HEAD, WIDER * width, 0.0, batch_first=True, norm_first=True)
        self.blocks = nn.TransformerEncoder(layer, blocks, nn.LayerNorm(width), enable_nested_tensor=False)
        self.head = nn.Linear(width, vocabulary)
        self.optimizer = torch.optim.Adam(self.parameters(), 1e-3)

    def forward(self, tokens: Tensor) -> Tensor:
        """The next token's logits [B, C, vocabulary]."""
        length = tokens.shape[1]
        mask = nn.Transformer.generate_square_subsequent_mask(length, device=tokens.device)
        x = self.token(tokens) + self.position(torch.arange(length, device=tokens.device))
        out: Tensor = self.head(self.blocks(x, mask, is_causal=True))
        return out


def measure_language(options: LanguageOptions, say: Callable[[str], Any]) -> list[Row]:
    """A row for each kind, number of members, and thing measured. Raises DataError or ConfigError for data that are no token sequences."""
    torch.set_num_threads(options.all_threads)
    data = load(options.dataset).trajectories.to(options.device)
    works: dict[tuple[str, str, int], Work] = {}
    processes = {members: processes_for(Config(_config(options)), torch.device(options.device), members) for members in options.members}
    for members, number in processes.items():
        works["suite", "train", members] = _training(options, data, members, number)
        works["suite", "generate", members] = _generation(WeightedBC(_config(options), data, range(members)), options.batch)
    plain = Plain(data.num_actions, data.observations.shape[1], options.hidden[0], len(options.hidden)).to(options.device)
    works["plain", "train", 1] = _plain_training(plain, data, options.batch)
    works["plain", "generate", 1] = _plain_generation(plain, data, options.batch)
    rates: dict[tuple[str, str, int], list[float]] = {key: [] for key in works}
    for number in range(options.rounds):
        for key, work in works.items():
            rates[key].append(_rate(work, options.seconds, options.device))
            say(f"round {number + 1}: {key[0]} {key[1]}, members {key[2]}: {rates[key][-1]:.4g}/s")
    return _rows(options, data, processes, rates)


def _config(options: LanguageOptions) -> WeightedBCConfig:
    return WeightedBCConfig(
        "bc", batch_size=options.batch, hidden=list(options.hidden), sampler=Sampler.trajectories, policy=Network.transformer
    )


def _rate(work: Work, seconds: float, device: str) -> float:
    """Work per second, over at least `seconds`, after one call."""
    work()
    done, started = 0.0, _now(device)
    while (elapsed := _now(device) - started) < seconds or not done:
        done += work()
    return done / elapsed


def _now(device: str) -> float:
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter()


def _training(options: LanguageOptions, data: Trajectories, members: int, processes: int) -> Work:
    algo = build_population(lambda own: WeightedBC(_config(options), data, range(members)[own]), members, 1, processes)
    starts = iter(range(0, 1 << 30, UPDATES))

    def work() -> float:
        start = next(starts)
        algo.train(start, start + UPDATES)
        return float(members * UPDATES)

    return work


def _prompts(data: Trajectories, batch: int) -> tuple[Tensor, Tensor]:
    """The first prompts of the data [B, CONTEXT], repeated where they are fewer, and their lengths [B]."""
    rows = torch.arange(batch, device=data.offsets.device) % data.num_episodes
    prompts = data.observations[data.offsets[rows]].long()
    return prompts, torch.where(prompts != PAD, torch.arange(1, CONTEXT + 1, device=prompts.device), 1).amax(1)


@torch.no_grad()
def _written(tokens: Tensor, lengths: Tensor) -> float:
    """Tokens of the answers in `tokens` [..., CONTEXT]."""
    places = torch.arange(CONTEXT, device=tokens.device)
    answer = places >= lengths.unsqueeze(-1)
    ended = ((tokens == END) & answer).long().cumsum(-1) - ((tokens == END) & answer).long()
    return float((answer & (ended == 0)).sum())


def _generation(algo: WeightedBC, batch: int) -> Work:
    prompts, lengths = (x.expand(algo.members, *x.shape) for x in _prompts(algo.data, batch))  # type: ignore[arg-type]
    generator = torch.Generator(algo.device).manual_seed(0)

    def noise(steps: Tensor) -> Tensor:
        return torch.rand(steps.shape, generator=generator, device=steps.device, dtype=torch.float64)

    return lambda: _written(algo.write(prompts, lengths, END, noise), lengths)


def _plain_training(net: Plain, data: Trajectories, batch: int) -> Work:
    """An update on `batch` random sequences, padded to the longest of them."""
    table = sequences_of(data)
    last = data.actions[data.offsets[1:] - 1, 0].long()
    generator = torch.Generator().manual_seed(0)

    def work() -> float:
        rows = torch.randint(data.num_episodes, (batch,), generator=generator).to(last.device)
        starts, total = table.starts[rows], table.starts[rows] + data.lengths[rows]
        width = int(total.max())
        tokens = torch.nn.functional.pad(table.tokens[rows], (0, 1))[:, :width].clone()
        tokens.scatter_(1, (total - 1).unsqueeze(1), last[rows].unsqueeze(1))
        places = torch.arange(1, width, device=tokens.device)
        real = (places >= starts.unsqueeze(1)) & (places < total.unsqueeze(1))
        with torch.enable_grad():
            log_probs = net(tokens[:, :-1]).log_softmax(-1).gather(-1, tokens[:, 1:].unsqueeze(-1)).squeeze(-1)
            loss = -(log_probs * real).sum() / real.sum()
            net.optimizer.zero_grad()
            loss.backward()
            net.optimizer.step()
        return 1.0

    return work


@torch.no_grad()
def _plain_generation(net: Plain, data: Trajectories, batch: int) -> Work:
    """Answers to `batch` prompts, drawn token by token, every token by a pass over those before it."""
    prompts, lengths = _prompts(data, batch)

    @torch.no_grad()
    def work() -> float:
        tokens, running = prompts.clone(), torch.ones_like(lengths, dtype=torch.bool)
        for at in range(int(lengths.min()), CONTEXT):
            logits = net(tokens[:, :at])[:, -1]
            logits[:, PAD] = -torch.inf
            drawn = torch.multinomial(logits.softmax(-1), 1).squeeze(1)
            answered = at >= lengths
            tokens[:, at] = torch.where(answered & running, drawn, torch.where(answered, PAD, prompts[:, at]))
            running &= ~(answered & (drawn == END))
            if not running.any():
                break
        return _written(tokens, lengths)

    return work


def _rows(
    options: LanguageOptions, data: Trajectories, processes: dict[int, int], rates: dict[tuple[str, str, int], list[float]]
) -> list[Row]:
    shared = {
        "dataset": options.dataset, "batch": options.batch, "hidden": "x".join(map(str, options.hidden)),
        "device": device_name(options.device), "torch_version": str(torch.__version__),
    }  # fmt: skip
    tokens, found = options.batch * data.num_steps / data.num_episodes, []
    for (kind, what, members), own in rates.items():
        ratios = [a / b for a, b in zip(own, rates["plain", what, 1], strict=True)]
        for name, factor in ((what, 1.0), ("tokens", tokens)) if what == "train" else ((what, 1.0),):
            rate = median(own) * factor
            workers = processes[members] if kind == "suite" and what == "train" else 1
            row = {"kind": kind, "what": name, "members": members, "processes": workers, "rounds": len(own), "rate": rate}
            row["member_rate"] = rate / members
            found.append({**shared, **row, "ratio": median(ratios), "ratio_low": min(ratios), "ratio_high": max(ratios)})
    return found


def table(rows: Sequence[Row]) -> str:
    """The rows as Markdown."""
    lines = [["what", "kind", "members", "processes", "all members", "a member", "all members / plain loop"]]
    for row in sorted(rows, key=lambda r: (list(WHAT).index(r["what"]), r["kind"] == "suite", r["members"])):
        ratio = f"{row['ratio']:.2f} ({row['ratio_low']:.2f} to {row['ratio_high']:.2f})"
        counts = [str(row["members"]), str(row["processes"])]
        lines.append([WHAT[row["what"]], row["kind"], *counts, f"{row['rate']:.4g}", f"{row['member_rate']:.4g}", ratio])
    return "\n".join(markdown_rows(lines))
