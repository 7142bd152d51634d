"""The report page: its content and, with `make test-browser`, its behaviour in headless Chromium."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bench.numbers import spell_seeds
from bench.report.online import CAPTION
from bench.report.page.build import page_of
from bench.report.page.films import Limits
from bench.report.page.overview import warnings
from bench.report.suite import rebuild
from bench.report.tables import published_tables, table_of
from bench.results import published
from bench.results.grid import grids
from bench.results.leaderboard import board_of
from bench.results.pooling import pooled
from bench.results.protocol import TableOptions
from bench.results.runs import suite_runs
from tests.helpers.suites import make_run, make_suite

CHROMIUM = next((found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None)


def text_of(suite: Path, **arguments: Any) -> str:
    """The page of a suite without figures, which take seconds to draw and have tests of their own."""
    runs = suite_runs(suite)
    results = pooled(runs)
    return page_of(suite, runs, results, board_of(suite, results), [table_of(grid) for grid in grids(results)], **arguments)


def test_the_page_is_one_file_that_needs_no_network(tmp_path: Path) -> None:
    rebuild(make_suite(tmp_path))
    text = (tmp_path / "report.html").read_text()
    assert text.count("<figure") > 5
    assert not re.search(r"""(?:src|href)=["'](?!#|data:)""", text)
    assert "@import" not in text
    assert "url(http" not in text


def test_the_page_opens_with_the_results_and_the_protocol_is_folded(tmp_path: Path) -> None:
    text = text_of(make_suite(tmp_path))
    assert text.index("<h2>") == text.index("<h2>Results</h2>")
    start = text.index('<details id="protocol">')
    assert text.index('class="cards results"') < start < text.index('<section id="table">')
    protocol = text[start : text.index("</details>", start)]
    for part in ("bc, sft, iw_sft", "iwsft/hopper/medium-v0", "0-2", "last iterate, 4 episodes a seed", "reference set: iwsft", "UTC"):
        assert part in protocol


@pytest.mark.parametrize("fault", ["saturated", "collapsed"])
def test_the_page_warns_of_weights_that_do_not_do_their_work(tmp_path: Path, fault: str) -> None:
    make_run(tmp_path, "sft")
    make_run(tmp_path, "iw_sft", weights={"ess": 0.5, "clipped": 0.95, fault: 400})
    runs = suite_runs(tmp_path)
    (line,) = [line for line in warnings(tmp_path, runs, pooled(runs)) if "weights" in line]
    assert line.startswith(f"iw_sft on iwsft/hopper/medium-v0: weights {fault} after update 400: ")
    assert html.escape(line) in text_of(tmp_path)


def test_data_without_a_mean_return_have_no_mean_score(tmp_path: Path) -> None:
    """The rewards of the data are not those of the environment, which has reference scores."""
    make_run(tmp_path, data_return_mean=None)
    text = text_of(tmp_path)
    assert "of other rewards than the environment&#39;s" in text
    assert "mean score" not in text[text.index("of other rewards") :][:300]


def test_one_figure_stands_beside_the_results(tmp_path: Path) -> None:
    figures = {f"{kind}-x": f'<svg viewBox="0 0 345.6 200"><path id="{kind}"/></svg>' for kind in ("curve", "cost", "intervals")}
    for drawn, first in ((figures, "intervals"), ({"curve-x": figures["curve-x"]}, "curve")):
        text = text_of(make_suite(tmp_path / first), figures=drawn)
        opening = text[text.index('id="results"') : text.index('id="table"')]
        assert re.findall(r'aria-label="(\w+)-x"', opening) == [first]
        assert text.count("<figure") == len(drawn)


def test_gains_of_online_phases_stand_below_the_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_run(tmp_path, "bc")
    assert 'id="online"' not in text_of(tmp_path)
    for name in ("sft", "iw_sft"):
        make_run(tmp_path, name, online_steps=100, online_every=50)
    monkeypatch.setattr("bench.report.figures.draw.draw", lambda *arguments: {})
    table = rebuild(tmp_path, TableOptions(mixed=True))
    text = html.unescape((tmp_path / "report.html").read_text())
    section = text[text.index('<h3 id="online">Online</h3>') : text.index('<details id="protocol">')]
    caption = f"{CAPTION} Environment steps: 100."
    assert caption in section
    assert caption in table
    assert re.findall(r'<th><span class="id">(\w+)</span>', section) == ["sft", "iw_sft"]
    assert re.findall(r"medium-v0 \((\w+)\)", section) == ["before", "after", "area", "regret"]
    assert len(re.findall(r"\d\.\d <small>± \d+\.\d</small>", section)) == 6  # no returns of collected episodes, and no regret
    numbers = pd.read_csv(tmp_path / "table.csv").query("scope == 'online'")
    assert list(numbers["statistic"].unique()) == ["before", "after", "area"]
    assert (tmp_path / "table.tex").read_text().count("(before)") == 1


def test_ids_and_seeds_stay_on_one_line(tmp_path: Path) -> None:
    make_run(tmp_path, "bc", seeds=[0, 1, 2, 3, 7])
    text = text_of(tmp_path)
    assert text.count('<span class="id">iwsft/hopper/medium-v0</span>') == 4  # the table, and three selection rules
    assert '<span class="id">0-3, 7</span>' in text
    assert spell_seeds([5, 1, 0]) == "0, 1, 5"


def test_configurations_of_one_method_are_named_by_the_settings_that_differ(tmp_path: Path) -> None:
    for temperature in (1.0, 3.0):
        make_run(tmp_path, "iw_sft", temperature=temperature)
    text = text_of(tmp_path)
    assert '<th><span class="id">iw_sft temperature=3.0</span></th>' in text
    assert 'data-key="iw_sft"><span class="id">iw_sft temperature=3.0</span></td>' in text
    assert "<summary>iw_sft temperature=3.0 on iwsft/hopper/medium-v0" in text


def test_settings_are_shown_beside_the_methods_defaults(tmp_path: Path) -> None:
    make_run(tmp_path, "iw_sft", temperature=3.0, defaults={"algo.weighting.temperature": 10.0})
    make_run(tmp_path, "own", defaults=None)
    text = text_of(tmp_path)
    assert "<td>algo.<wbr>weighting.<wbr>temperature</td><td>10.0</td><td>3.0</td>" in text
    assert text.count("has no defaults for this method") == 1


def test_portions_of_seeds_are_one_row_and_two_runs(tmp_path: Path) -> None:
    for seeds in ([0, 1], [2]):
        make_run(tmp_path, "bc", seeds=seeds)
    text = text_of(tmp_path)
    assert text.count('data-key="bc"') == 3  # selection rules
    assert text.count("<summary>bc on iwsft/hopper/medium-v0") == 2


def test_missing_and_failed_parts_are_warnings(tmp_path: Path) -> None:
    def spoil(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [r | {"return": float("nan")} if r["episode"] == 3 and r["seed"] != 1 else r for r in rows]

    make_run(tmp_path, "bc", change=spoil)
    make_run(tmp_path, "sft", "iwsft/walker2d/medium-v0")
    make_run(tmp_path, "sft", "iwsft/ant/medium-v0")
    make_run(tmp_path, "iw_sft", status="running")
    text = html.unescape(text_of(tmp_path))
    for part in (
        "bc on iwsft/hopper/medium-v0: 2 episodes failed",
        "bc on iwsft/ant/medium-v0, iwsft/walker2d/medium-v0: no finished run",
        "unfinished runs, left out: 1",
    ):
        assert part in text


def test_hostile_names_are_escaped(tmp_path: Path) -> None:
    make_run(tmp_path, "bc", code_revision="<script>alert(1)</script>")
    assert "<script>alert" not in text_of(tmp_path)


@pytest.mark.parametrize("arguments", [{"seeds": [0]}, {"reference": None}, {"versions": {"python": "3"}}])
def test_a_single_run_has_a_page(tmp_path: Path, arguments: dict[str, Any]) -> None:
    make_run(tmp_path, **arguments)
    assert "1 finished" in text_of(tmp_path)


def test_a_run_without_curve_has_a_page(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    (folder / "curve.csv").unlink()
    assert "1 finished" in text_of(tmp_path)


def test_a_wide_figure_is_not_squeezed_into_a_column(tmp_path: Path) -> None:
    sizes = {"curve-a": 345.6, "cost": 700}  # points
    svgs = {name: f'<svg width="9pt" height="9pt" viewBox="0 0 {points} 200"></svg>' for name, points in sizes.items()}
    make_run(tmp_path)
    text = text_of(tmp_path, figures=svgs)
    assert re.findall(r'<figure class="wide"><svg viewBox="0 0 (\d+)', text) == ["700"]
    assert 'style="width: clamp(980px, 100%, 1120px)"' in text
    assert text.count('style="width: clamp(') == 1


def test_films_are_embedded(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    (folder / "episode-0-1.webp").write_bytes(b"not really")
    assert "data:image/webp;base64,bm90IHJlYWxseQ==" in text_of(tmp_path)


def test_films_beyond_the_limits_are_named(tmp_path: Path) -> None:
    for seed, algo in enumerate(("bc", "sft")):
        (make_run(tmp_path, algo) / f"episode-{seed}-0.webp").write_bytes(bytes(900))
    assert text_of(tmp_path).count("data:image/webp;base64,") == 2
    text = text_of(tmp_path, limits=Limits(page=2000))
    assert text.count("data:image/webp;base64,") == 1
    assert "Film: episode-1-0.webp, in the run directory" in text
    assert "data:image/webp;base64," not in text_of(tmp_path, limits=Limits(film=800))


def test_published_scores_are_tables_of_their_own(tmp_path: Path) -> None:
    make_suite(tmp_path)
    assert 'id="published"' not in text_of(tmp_path)
    page = text_of(tmp_path, published=published_tables(published.rows(["iwsft/hopper/medium-v0"])))
    section = page[page.index('id="published"') : page.index('id="table"')]
    assert "hopper-medium-v2" in section
    assert section.count("<table") == 3
    assert "hopper-medium-v2" not in page.replace(section, "")  # nor in the sortable leaderboard
    assert all(source.citation in section for source in published.SOURCES)


# In a browser.

PROBE = """
<script>
window.problems = [];
window.addEventListener("error", (e) => window.problems.push(String(e.message || e.target.outerHTML)), true);
console.error = (...a) => window.problems.push(a.join(" "));
</script>
"""
CHECK = """
<script>
window.addEventListener("load", () => {
  const found = { width: innerWidth, scheme: matchMedia("(prefers-color-scheme: dark)").matches };
  const board = document.getElementById("board"), rows = () => [...board.tBodies[0].rows];
  const names = [...board.tHead.rows[0].cells].map((h) => h.firstElementChild.dataset.name);
  const column = (name) => rows().filter((r) => !r.hidden).map((r) => r.cells[names.indexOf(name)].dataset.key);
  const click = (name) => board.tHead.querySelector(`button[data-name=${name}]`).click();
  const type = (text) => { const s = document.getElementById("search"); s.value = text; s.dispatchEvent(new Event("input")); };
  const choose = (id, value) => { const s = document.getElementById(id); s.value = value; s.dispatchEvent(new Event("change")); };
  found.first = column("selection");
  click("score_mean"); found.down = column("score_mean");
  click("score_mean"); found.up = column("score_mean");
  click("algo"); found.words = column("algo");
  type("walker2d iw_sft"); found.searched = [column("dataset"), column("algo")];
  type(""); choose("filter-selection", ""); found.all = rows().filter((r) => !r.hidden).length;
  choose("filter-algo", "bc"); found.chosen = column("algo");
  choose("filter-algo", "");
  document.querySelectorAll("details").forEach((d) => { d.open = true; });
  setTimeout(() => {
    found.curves = document.querySelectorAll(".curve svg polyline").length;
    found.page = document.documentElement.scrollWidth;
    found.beyond = [...document.body.querySelectorAll("*")].filter((e) => !e.closest("svg *, .wide svg")).filter((e) => {
      const box = e.getBoundingClientRect();
      return box.right > innerWidth + 0.5 || box.left < -0.5;
    }).map((e) => e.outerHTML.slice(0, 120));
    found.problems = window.problems;
    const out = document.createElement("pre"); out.id = "found"; out.textContent = JSON.stringify(found);
    document.body.append(out);
  }, 300);
});
</script>
"""
FRAME = """<!doctype html><meta charset="utf-8"><body style="margin:0">
<iframe id="f" srcdoc="{page}" style="border:0;width:{width}px;height:844px"></iframe>{wait}"""
WAIT = """
<script>
const timer = setInterval(() => {
  const found = document.getElementById("f").contentDocument.getElementById("found");
  if (!found) return;
  clearInterval(timer);
  const out = document.createElement("pre");
  out.id = "outer";
  out.textContent = found.textContent;
  document.body.append(out);
}, 50);
</script>
"""


def in_browser(page: Path, width: int, scratch: Path) -> dict[str, Any]:
    """Behaviour of the page in a frame `width` px wide: a window cannot be as narrow as a phone."""
    text = page.read_text().replace("<head>", "<head>" + PROBE).replace("</body>", CHECK + "</body>")
    harness = scratch / "harness.html"
    harness.write_text(FRAME.format(page=html.escape(text), width=width, wait=WAIT))
    assert CHROMIUM is not None
    command = [
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
        "--disable-component-update", "--disable-sync", f"--user-data-dir={scratch / 'profile'}", "--enable-logging=stderr",
        "--window-size=1400,900", "--virtual-time-budget=10000", "--dump-dom", harness.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert not re.findall(r"CONSOLE.*", done.stderr)
    match = re.search(r'<pre id="outer">(.*?)</pre>', done.stdout, re.DOTALL)
    assert match, "the script of the page did not finish"
    return json.loads(html.unescape(match.group(1)))


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")
@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_works_in_a_browser(tmp_path: Path, width: int) -> None:
    rebuild(make_suite(tmp_path / "suite"))
    found = in_browser(tmp_path / "suite" / "report.html", width, tmp_path)
    assert found["width"] == width
    assert found["problems"] == []
    assert found["page"] <= width
    assert found["beyond"] == []
    assert set(found["first"]) == {"last"}
    down, up = ([float(v) for v in found[k]] for k in ("down", "up"))
    assert len(down) == 6
    assert down == sorted(down, reverse=True)
    assert up == sorted(up)
    assert found["words"] == sorted(found["words"])
    assert found["searched"] == [["iwsft/walker2d/medium-v0"], ["iw_sft"]]
    assert found["all"] == 18
    assert set(found["chosen"]) == {"bc"}
    assert found["curves"] == 18  # six runs, a line a seed


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")
def test_long_names_and_many_methods_fit_a_phone(tmp_path: Path) -> None:
    for i in range(12):
        make_run(
            tmp_path / "suite", f"method_with_a_rather_long_name_{i}", f"{'very' * 12}/long-name-of-a-data-set/medium-v0", seeds=range(10)
        )
    rebuild(tmp_path / "suite")
    found = in_browser(tmp_path / "suite" / "report.html", 390, tmp_path)
    assert found["beyond"] == []
    assert found["problems"] == []


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")
@pytest.mark.parametrize("width", [390, 1280])
def test_a_suite_of_nineteen_methods_two_reference_sets_and_published_scores_fits(tmp_path: Path, width: int) -> None:
    suite = tmp_path / "suite"
    for i in range(19):
        for name in ("hopper/medium-replay", "halfcheetah/medium-replay", "kitchen/mixed"):
            make_run(suite, f"method_{i}", f"iwsft/{name}-v0", level=200.0 + 10 * i)
    make_run(suite, "bc", "D4RL/pen/human-v2", reference={"name": "d4rl", "random": 0.0, "expert": 4.0})
    page = suite / "report.html"
    rebuild(suite, TableOptions(mixed=True, published=True))
    found = in_browser(page, width, tmp_path)
    assert found["problems"] == []
    assert found["beyond"] == []
    assert found["all"] == 19 * 3 * 3  # under every selection rule, but of the larger reference set alone
    assert '<th><span class="id">method</span></th>' in page.read_text()
