// The console: one page without anything from elsewhere, which asks `/status` every two seconds. Light and
// dark by the reader's setting, one column on a phone. Names come in as text, never as markup.

enum ConsolePage {
  static let html = Array(text.utf8)

  private static let text = #"""
    <!doctype html>
    <html lang="en">
    <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <meta name="color-scheme" content="light dark">
    <title>Affinity</title>
    <link rel="icon" href="data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Ccircle cx='6' cy='8' r='5' fill='%232a6fdb' fill-opacity='.8'/%3E%3Ccircle cx='10' cy='8' r='5' fill='%23d9822b' fill-opacity='.8'/%3E%3C/svg%3E">
    <style>
    :root {
      --page: #f5f6f8; --card: #fff; --ink: #1b1f27; --soft: #5d6675; --line: #dfe3e9;
      --blue: #2a6fdb; --fill: #2a6fdb22; --good: #17803d; --warn: #a15c00; --bad: #c02626;
    }
    @media (prefers-color-scheme: dark) {
      :root {
        --page: #111419; --card: #1a1f27; --ink: #e8ebf0; --soft: #98a2b3; --line: #2c333e;
        --blue: #6ea8ff; --fill: #6ea8ff26; --good: #4cc374; --warn: #e6a23c; --bad: #ff7b72;
      }
    }
    * { box-sizing: border-box; }
    body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.45 system-ui, sans-serif; font-variant-numeric: tabular-nums; }
    main, header { max-width: 1180px; margin: 0 auto; padding: 0 16px; }
    header { display: flex; flex-wrap: wrap; align-items: center; gap: 4px 14px; padding-top: 16px; padding-bottom: 12px; }
    h1 { font-size: 20px; margin: 0; }
    h2 { font-size: 13px; font-weight: 600; margin: 0 0 8px; color: var(--soft); }
    .pill { border-radius: 99px; padding: 2px 12px; font-weight: 600; color: var(--card); background: var(--soft); }
    .pill.good { background: var(--good); } .pill.warn { background: var(--warn); } .pill.bad { background: var(--bad); }
    .soft { color: var(--soft); }
    #said { flex-basis: 100%; }
    #said:empty { display: none; }
    #said div { border-left: 3px solid var(--bad); padding: 4px 10px; margin-top: 6px; background: var(--card); overflow-wrap: anywhere; }
    .grid { display: grid; gap: 12px; grid-template-columns: repeat(12, 1fr); padding-bottom: 24px; }
    section { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 12px 14px; grid-column: span 4; min-width: 0; }
    section.quarter { grid-column: span 3; }
    section.half { grid-column: span 6; }
    section.wide { grid-column: span 8; }
    @media (max-width: 900px) { section.quarter, section.half { grid-column: span 6; } section, section.wide { grid-column: span 12; } }
    @media (max-width: 640px) { main, header { padding-left: 10px; padding-right: 10px; } .grid { gap: 8px; } section.half { grid-column: span 12; } section.quarter { padding: 10px; } }
    .big { font-size: 26px; font-weight: 650; line-height: 1.15; white-space: nowrap; }
    .big small { font-size: 14px; font-weight: 400; color: var(--soft); }
    svg.spark { display: block; width: 100%; height: 44px; margin: 8px 0 2px; }
    svg.spark path.l { fill: none; stroke: var(--blue); stroke-width: 1.5; vector-effect: non-scaling-stroke; stroke-linejoin: round; }
    svg.spark path.a { fill: var(--fill); stroke: none; }
    .span { font-size: 12px; display: flex; flex-wrap: wrap; justify-content: space-between; gap: 0 8px; }
    table { border-collapse: collapse; width: 100%; }
    td, th { padding: 3px 0 3px 12px; text-align: right; font-weight: 400; white-space: nowrap; }
    th { color: var(--soft); font-size: 13px; }
    td:first-child, th:first-child { text-align: left; padding-left: 0; }
    tr + tr td { border-top: 1px solid var(--line); }
    .scroll { overflow-x: auto; }
    .bar { display: grid; grid-template-columns: minmax(0, 1fr) auto; gap: 0 10px; padding: 3px 0; position: relative; }
    .bar > span:first-child { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
    .bar i { grid-column: 1 / 3; height: 4px; border-radius: 2px; background: var(--blue); min-width: 1px; }
    .bar.warn i { background: var(--warn); }
    ul.checks { list-style: none; margin: 0; padding: 0; }
    ul.checks li { padding: 2px 0; overflow-wrap: anywhere; }
    ul.checks b { font-weight: 600; }
    ul.checks li::before { content: "✓"; color: var(--good); display: inline-block; width: 1.3em; font-weight: 700; }
    ul.checks li.bad::before { content: "✗"; color: var(--bad); }
    body.stale main { opacity: .45; }
    footer { max-width: 1180px; margin: 0 auto; padding: 0 16px 24px; font-size: 13px; }
    a { color: var(--blue); }
    </style>
    </head>
    <body>
    <header>
      <h1>Affinity</h1><span id="state" class="pill" role="status">…</span>
      <span class="soft" id="where"></span>
      <div id="said" aria-live="polite"></div>
    </header>
    <main>
      <div class="grid">
        <section class="quarter"><h2>Events</h2><div class="big" id="events">–</div><svg class="spark" id="events-line"></svg><div class="span soft" id="events-span"></div></section>
        <section class="quarter"><h2>Lists</h2><div class="big" id="lists">–</div><svg class="spark" id="lists-line"></svg><div class="span soft" id="lists-span"></div></section>
        <section class="quarter"><h2>Lag</h2><div class="big" id="lag">–</div><svg class="spark" id="lag-line"></svg><div class="span soft" id="lag-span"></div></section>
        <section class="quarter"><h2>Latency p99</h2><div class="big" id="latency">–</div><svg class="spark" id="latency-line"></svg><div class="span soft" id="latency-span"></div></section>
        <section><h2>Health</h2><ul class="checks" id="checks"></ul></section>
        <section class="wide"><h2>Models</h2><div class="scroll"><table id="models"></table></div></section>
        <section><h2>Latency, event seen to recommendation acknowledged</h2><table id="percentiles"></table></section>
        <section><h2>Not applied</h2><div id="drops"></div></section>
        <section><h2>Publishing</h2><table id="publishing"></table></section>
        <section class="half"><h2>Memory</h2><div class="big" id="memory">–</div><svg class="spark" id="memory-line"></svg><div id="parts"></div></section>
        <section class="half"><h2>State</h2><div class="scroll"><table id="sizes"></table></div><div class="scroll"><table id="matrices" style="margin-top:10px"></table></div></section>
      </div>
    </main>
    <footer class="soft"><a href="/metrics">/metrics</a> · <a href="/status">/status</a> · <a href="/readyz?verbose">/readyz</a> · <a href="/livez?verbose">/livez</a> · <a href="/startupz?verbose">/startupz</a> <span id="age"></span></footer>
    <script>
    "use strict";
    const $ = id => document.getElementById(id);
    const number = x => {
      if (x == null || !isFinite(x)) return "–";
      const a = Math.abs(x);
      if (a >= 1e9) return (x / 1e9).toFixed(a < 1e10 ? 2 : 1) + " G";
      if (a >= 1e6) return (x / 1e6).toFixed(a < 1e7 ? 2 : 1) + " M";
      if (a >= 1e4) return (x / 1e3).toFixed(a < 1e5 ? 1 : 0) + " k";
      return a >= 100 || x === Math.round(x) ? String(Math.round(x)) : x.toFixed(a >= 10 ? 1 : 2);
    };
    const whole = x => x == null ? "–" : Math.round(x).toLocaleString("en");
    const bytes = x => {
      if (x == null) return "–";
      for (const [unit, size] of [["GiB", 2 ** 30], ["MiB", 2 ** 20], ["KiB", 1024]])
        if (x >= size) return (x / size).toFixed(x < 10 * size ? 1 : 0) + " " + unit;
      return Math.round(x) + " B";
    };
    const milliseconds = x => x == null ? "–" : x >= 1e4 ? (x / 1e3).toFixed(1) + " s" : number(x) + " ms";
    const duration = s => s == null ? "–" : s >= 172800 ? (s / 86400).toFixed(1) + " days" : s >= 7200 ? (s / 3600).toFixed(1) + " h"
      : s >= 120 ? (s / 60).toFixed(0) + " min" : s.toFixed(s < 10 ? 1 : 0) + " s";
    const clock = t => new Date(t).toLocaleTimeString();
    const make = (tag, text, kind) => {
      const e = document.createElement(tag);
      if (text != null) e.textContent = text;
      if (kind) e.className = kind;
      return e;
    };
    const big = (id, text, unit) => $(id).replaceChildren(text, make("small", unit ? " " + unit : ""));
    const table = (id, head, rows) => {
      const line = (cells, tag) => { const r = make("tr"); r.append(...cells.map(c => make(tag, c))); return r; };
      $(id).replaceChildren(...(head ? [line(head, "th")] : []), ...rows.map(r => line(r, "td")));
    };
    const bars = (id, rows, show, kind) => {
      const most = Math.max(1, ...rows.map(r => r[1]));
      $(id).replaceChildren(...rows.map(([name, value]) => {
        const bar = make("div", null, "bar " + (kind || "")), mark = make("i");
        mark.style.width = (100 * value / most) + "%";
        bar.append(make("span", name), make("span", show(value)), mark);
        return bar;
      }));
    };
    const spark = (id, points, show) => {
      const svg = $(id + "-line"), known = points.filter(p => p[1] != null);
      svg.setAttribute("viewBox", "0 0 100 44");
      svg.setAttribute("preserveAspectRatio", "none");
      // A burst such as catching up must not flatten all that follows: it is cut off at the top.
      const sorted = known.map(p => p[1]).sort((a, b) => a - b), most = sorted[sorted.length - 1] || 0;
      const top = Math.min(most, 1.5 * (sorted[Math.floor(sorted.length * .95)] || most)) || most;
      if ($(id + "-span")) $(id + "-span").replaceChildren(
        make("span", known.length ? "since " + clock(points[0][0]) : ""), make("span", known.length ? "at most " + show(most) : ""));
      if (known.length < 2) return svg.replaceChildren();
      const from = points[0][0], width = Math.max(1, points[points.length - 1][0] - from);
      const place = p => ((p[0] - from) / width * 100).toFixed(2) + "," + (42 - 40 * (top ? Math.min(1, p[1] / top) : 0)).toFixed(2);
      const way = "M" + known.map(place).join("L");
      const path = (d, kind) => {
        const e = document.createElementNS("http://www.w3.org/2000/svg", "path");
        e.setAttribute("d", d); e.setAttribute("class", kind);
        return e;
      };
      const x = p => place(p).split(",")[0];
      svg.replaceChildren(path(way + "L" + x(known[known.length - 1]) + ",44L" + x(known[0]) + ",44Z", "a"), path(way, "l"));
    };
    const words = key => key.replaceAll("_", " ");
    const below = (metrics, prefix) => Object.entries(metrics).filter(([k, v]) => k.startsWith(prefix) && typeof v === "number")
      .map(([k, v]) => [k.slice(prefix.length), v]);

    function show(s) {
      const m = s.metrics || {}, h = s.history;
      const state = s.phase === "stopping" ? ["stopping", "warn"] : !s.live ? ["not live", "bad"]
        : s.ready ? ["ready", "good"] : s.started ? ["not ready", "bad"] : [s.phase, "warn"];
      $("state").textContent = state[0];
      $("state").className = "pill " + state[1];
      document.title = (s.ready ? "" : state[0] + " – ") + "Affinity";
      $("where").textContent = s.topic + " as group " + s.group + " · up " + duration(m.uptime_seconds) + " · model " + (m.model || "none");
      $("said").replaceChildren(...s.checks.filter(c => !c.ok).map(c => make("div", c.name + ": " + c.detail)));
      big("events", number(m.events_per_second), "per second");
      spark("events", h.map(p => [p[0], p[1]]), x => number(x) + "/s");
      big("lists", number(m.lists_per_second), "per second");
      spark("lists", h.map(p => [p[0], p[2]]), x => number(x) + "/s");
      const lag = s.lags.length ? s.lags.reduce((sum, l) => sum + l[1], 0) : m.lag_records;
      big("lag", number(lag), "records");
      spark("lag", h.map(p => [p[0], p[3]]), number);
      big("latency", m.latency_p99_ms == null ? "–" : milliseconds(m.latency_p99_ms));
      spark("latency", h.map(p => [p[0], p[5]]), milliseconds);
      $("checks").replaceChildren(...s.checks.map(c => {
        const li = make("li", null, c.ok ? "" : "bad");
        li.append(make("b", c.name), make("span", " " + c.detail, "soft"));
        return li;
      }));
      table("models", ["model", "in force from", "took", "items", "pairs", "baskets", "rules"],
        s.models.slice(0, 8).map(x => [x.id, clock(x.time), milliseconds(x.seconds * 1000), whole(x.items), whole(x.pairs), whole(x.baskets), whole(x.rules)]));
      table("percentiles", null, [["half", m.latency_p50_ms], ["99 %", m.latency_p99_ms], ["99.9 %", m.latency_p999_ms], ["slowest", m.latency_max_ms]]
        .map(([n, v]) => [n, milliseconds(v)])
        .concat([["longest pause of ingestion at a tick", milliseconds(m.pause_ms_max)], ["slowest model", milliseconds((m.tick_seconds_max || 0) * 1000)]]));
      const drops = below(m, "rejected.").map(([k, v]) => ["rejected: " + words(k), v])
        .concat(below(m, "outcome.").filter(([k]) => k !== "applied").map(([k, v]) => [words(k), v]))
        .concat(m.unknown_types ? [["unknown type", m.unknown_types]] : []).sort((a, b) => b[1] - a[1]);
      if (drops.length) bars("drops", drops, whole, "warn");
      else $("drops").replaceChildren(make("div", s.metrics ? "Everything was applied." : "–", "soft"));
      table("publishing", null, below(m, "messages.").map(([k, v]) => [words(k), whole(v)])
        .concat([["on their way", whole(m.messages_in_flight)], ["waiting", whole((m.messages_waiting || 0) + (m.lists_waiting || 0) + (m.renewals_waiting || 0))],
          ["waits for the producer", whole(m.stalls)], ["commits", whole(m.commits)]]));
      big("memory", bytes(m["bytes.resident"]), "resident");
      spark("memory", h.map(p => [p[0], p[6]]), bytes);
      bars("parts", below(m, "bytes.").filter(([k]) => !["resident", "rows"].includes(k)).map(([k, v]) => [k.startsWith("rows.") ? "rows " + words(k.slice(5)) : k, v])
        .filter(r => r[1] > 0).sort((a, b) => b[1] - a[1]).slice(0, 10), bytes);
      table("sizes", ["users", "sessions", "orders", "items", "listeners"], [["users", "sessions", "orders", "items", "listeners"].map(k => number(m[k]))]);
      table("matrices", ["matrix", "rows", "entries"], below(m, "rows.").map(([k, v]) => [words(k), whole(v), whole(m["entries." + k])]));
      if (m.time) $("age").textContent = "· last metrics line " + clock(m.time);
    }

    let good = 0, timer = 0;
    const first = Date.now();
    async function turn() {
      clearTimeout(timer);
      let wait = 2000;
      try {
        const answer = await fetch("/status", { cache: "no-store", signal: AbortSignal.timeout(5000) });
        show(await answer.json());
        good = Date.now();
        document.body.classList.remove("stale");
      } catch (error) {
        wait = 3000;
        if (Date.now() - (good || first) > 4000) {
          document.body.classList.add("stale");
          $("state").textContent = "no answer";
          $("state").className = "pill bad";
          $("said").replaceChildren(make("div", "The daemon does not answer" + (good ? " since " + clock(good) : "") + "."));
          document.title = "no answer – Affinity";
        }
      }
      clearTimeout(timer);
      timer = setTimeout(turn, document.hidden ? 15000 : wait);
    }
    document.addEventListener("visibilitychange", () => { if (!document.hidden) turn(); });
    turn();
    </script>
    </body>
    </html>

    """#
}
