import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { parse, parseAllDocuments } from "yaml";
import { checkNames } from "../../../../src/admin/doctor/examine.ts";
import { parseExposition, unitOf } from "../../../support/metric-lint.ts";
import type { ExposedMetric } from "../../../support/metric-lint.ts";
import { metricsOfNothing, withOneCall } from "../../../support/metrics-of-nothing.ts";
import { namesIn } from "../../../support/promql.ts";

const root = join(import.meta.dirname, "..", "..", "..", "..");
const read = (path: string): string => readFileSync(join(root, path), "utf8");

interface Panel {
  id: number;
  title: string;
  description?: string;
  targets: { expr: string }[];
}
interface Rule {
  alert: string;
  expr: string;
  labels: Record<string, string>;
  annotations: Record<string, string>;
}

/** What Prometheus itself adds. */
const targetLabels = ["job", "instance"];

describe("what is shipped to watch Dockline with", () => {
  let metrics: ExposedMetric[];
  /** Labels by the names that queries may use. */
  const series = new Map<string, readonly string[]>([["up", []]]);
  before(async () => {
    metrics = parseExposition((await withOneCall(metricsOfNothing()).expose()).text);
    for (const { name, samples } of metrics) {
      for (const sample of samples) {
        series.set(sample.name, [...(series.get(sample.name) ?? []), ...sample.labels]);
      }
      if (samples.length === 0) series.set(name, []);
    }
  });
  const troublesOf = (expr: string): string[] => {
    const names = namesIn(expr.replaceAll("$__rate_interval", "5m"));
    const unknown = [...names.metrics].filter((name) => !series.has(name));
    const labels = [
      ...targetLabels,
      ...[...names.metrics].flatMap((name) => series.get(name) ?? []),
    ];
    return [
      ...(names.metrics.size === 0 ? ["no metric in it"] : []),
      ...unknown.map((name) => `no metric ${name}`),
      ...[...names.labels]
        .filter((name) => !labels.includes(name))
        .map((name) => `no label ${name}`),
    ].map((trouble) => `${expr}: ${trouble}`);
  };

  it("finds a query's metrics and labels, and what is wrong with them", () => {
    const names = namesIn(
      'sum by (a, b) (rate(x_total{c!="d e"}[5m])) / on (f) group_left (g) max(y) > 0.5 and z offset 5m',
    );
    expect([...names.metrics]).to.deep.equal(["x_total", "y", "z"]);
    expect([...names.labels]).to.deep.equal(["a", "b", "c", "f", "g"]);
    expect(troublesOf('dockline_streams{node="x"} + dockline_stream')).to.have.length(2);
    expect(troublesOf("vector(1)")).to.have.length(1);
  });

  it("asks in the dashboard for metrics and labels that exist, and explains each panel", () => {
    const { panels, templating } = JSON.parse(read("deploy/grafana/dockline.json")) as {
      panels: Panel[];
      templating: { list: { name: string; query: string | { query: string } }[] };
    };
    expect(panels.length).to.be.above(20);
    expect(new Set(panels.map(({ id }) => id)).size).to.equal(panels.length);
    for (const { title, description = "", targets } of panels) {
      expect(description, title).to.match(/^[A-Z0-9].{15,}\.$/);
      expect(targets, title).to.not.deep.equal([]);
      expect(targets.flatMap(({ expr }) => troublesOf(expr))).to.deep.equal([]);
    }
    const variables = templating.list.map(({ name }) => name);
    expect(variables).to.include.members(["instance", "method"]);
    const used = panels.flatMap(({ targets }) =>
      targets.flatMap(({ expr }) => expr.match(/\$(?!__)\w+/g) ?? []),
    );
    expect(variables.map((name) => `$${name}`)).to.include.members(used);
    for (const { query } of templating.list) {
      if (typeof query === "string") continue;
      const [, metric = "", label = ""] = /^label_values\((\w+), (\w+)\)$/.exec(query.query) ?? [];
      expect([...targetLabels, ...(series.get(metric) ?? [])], query.query).to.include(label);
    }
  });

  it("alerts on metrics and labels that exist, and says what to do", () => {
    const { groups } = parse(read("deploy/prometheus/dockline.rules.yaml")) as {
      groups: { name: string; rules: Rule[] }[];
    };
    const rules = groups.flatMap((group) => group.rules);
    expect(new Set(rules.map(({ alert }) => alert)).size).to.equal(rules.length);
    expect(rules.length).to.be.above(8);
    for (const { alert, expr, labels, annotations } of rules) {
      expect(troublesOf(expr), alert).to.deep.equal([]);
      expect(["critical", "warning"], alert).to.include(labels["severity"]);
      expect(Object.keys(annotations), alert).to.deep.equal(["summary", "description"]);
      const said = Object.values(annotations).join(" ");
      // A label that the query has dropped would be empty in the text.
      const kept = /^sum by \(([^)]*)\)/.exec(expr)?.[1]?.split(", ");
      for (const [, label = ""] of said.matchAll(/\$labels\.(\w+)/g)) {
        expect(kept ?? targetLabels, `${alert}: ${label}`).to.include(label);
      }
      for (const [, checks = ""] of said.matchAll(/--check ([\w,-]+)/g)) {
        expect(checkNames, alert).to.include.members(checks.split(","));
      }
    }
  });

  it("is described metric by metric", () => {
    const page = read("docs/monitoring.md");
    const rows = metrics
      .filter(({ name }) => /^(?:dockline_|nodejs_eventloop_lag_)/.test(name))
      .map(({ name, type, help, samples }) => {
        const own = new Set(samples.flatMap(({ labels }) => labels));
        own.delete("le");
        return `| \`${name}\` | ${type} | ${unitOf(name)} | ${[...own].join(", ")} | ${help} |`;
      });
    const described = page.split("\n").filter((line) => /^\| `(?:dockline|nodejs)_/.test(line));
    expect(described.join("\n")).to.equal(rows.join("\n"));
  });

  it("reaches one port in every page and file", () => {
    const files = [
      ...["README.md", "src/main.ts", "src/config/options.ts", "deploy/config.yaml"],
      ...readdirSync(join(root, "docs"))
        .filter((name) => name.endsWith(".md"))
        .map((name) => `docs/${name}`),
      ...readdirSync(join(root, "deploy", "prometheus")).map((name) => `deploy/prometheus/${name}`),
    ];
    const ports = files.flatMap((path) =>
      read(path)
        .split("\n")
        .filter((line) => /metrics-|metricsBindAddr|__address__|\/metrics/.test(line))
        .flatMap((line) => [...line.matchAll(/:(\d{4,5})\b/g)])
        .map((match) => `${path}: ${match[1] ?? ""}`),
    );
    expect(ports.filter((port) => !port.endsWith(": 9357"))).to.deep.equal([]);
    expect(ports.length).to.be.above(4);
  });

  it("has manifests that are YAML, each with a kind, and nothing that is open", () => {
    const documents = parseAllDocuments(read("deploy/prometheus/authenticating-proxy.yaml"));
    const kinds = documents.map((document) => (document.toJS() as { kind: string }).kind);
    expect(kinds).to.include.members(["DaemonSet", "ServiceAccount", "ClusterRoleBinding"]);
    expect(read("deploy/prometheus/authenticating-proxy.yaml")).to.not.match(/insecure-listen/);
  });
});
