import { request } from "node:http";
import { expect } from "chai";
import { silentLogger } from "../../../../src/log.ts";
import { serveMetrics } from "../../../../src/daemon/metrics/server.ts";
import { lintMetrics, parseExposition } from "../../../support/metric-lint.ts";
import { metricsOfNothing, withOneCall } from "../../../support/metrics-of-nothing.ts";
import { tempFolder } from "../../../support/temp-folder.ts";

function get(socketPath: string, path: string): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    request({ socketPath, path }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (chunk: string) => (text += chunk));
      response.on("end", () => resolve({ status: response.statusCode ?? 0, text }));
    })
      .on("error", reject)
      .end();
  });
}

describe("Dockline's own metrics", () => {
  it("count calls, engine requests and plugins by what they were and how they ended", async () => {
    const metrics = withOneCall(metricsOfNothing());
    const { text } = await metrics.expose();
    for (const line of [
      'dockline_cri_request_duration_seconds_count{method="RunPodSandbox",code="OK"} 1',
      'dockline_docker_request_duration_seconds_count{method="GET",endpoint="/containers/{id}/json",code="404"} 1',
      'dockline_cni_duration_seconds_count{plugin="bridge",verb="ADD",code="0"} 1',
      'dockline_cni_duration_seconds_count{plugin="portmap",verb="ADD",code="none"} 1',
      'dockline_build_info{version="1.2.3",node="v24",engine="29.0.0",api="1.52"} 1',
      "dockline_engine_ready 1",
      "dockline_index_age_seconds 1.5",
      "dockline_index_events_total 12",
      "dockline_pulls_in_progress 2",
      "dockline_pulls_downloaded_bytes 99",
      "dockline_pulls_total_bytes 200",
      "dockline_pulls_layers 8",
      "dockline_pulls_layers_done 3",
      "dockline_pulls_oldest_seconds 2.5",
      "dockline_trace_listeners 1",
      "dockline_trace_dropped_total 13",
      "dockline_otel_spans_exported_total 21",
      "dockline_otel_spans_dropped_total 34",
      "dockline_log_lag_bytes 10",
      "dockline_log_hung_file_systems 1",
      "dockline_log_written_bytes_total 1000",
      "nodejs_eventloop_lag_p50_seconds 0.001",
      "nodejs_eventloop_lag_p90_seconds 0.002",
      "nodejs_eventloop_lag_p99_seconds 0.003",
      "nodejs_eventloop_lag_max_seconds 0.25",
    ]) {
      expect(text.split("\n")).to.include(line);
    }
    // Read again, a counter is not counted twice.
    expect((await metrics.expose()).text).to.match(/^dockline_index_events_total 12$/m);
  });

  it("have names, types, units and help texts as Prometheus' own checker wants them", async () => {
    const { text } = await withOneCall(metricsOfNothing()).expose();
    const metrics = parseExposition(text);
    expect(metrics.length).to.be.above(50);
    expect(lintMetrics(metrics)).to.deep.equal([]);
    const own = metrics.filter(({ name }) => name.startsWith("dockline_"));
    expect(own.filter(({ samples }) => samples.length === 0)).to.deep.equal([]);
    // The rule itself, on what it is there for.
    const faults = parseExposition(
      '# TYPE a_total gauge\na_total 1\n# HELP b_ms B.\n# TYPE b_ms gauge\n# HELP c C.\n# TYPE c counter\nc{Ab="1"} 1\n',
    );
    expect(lintMetrics(faults)).to.deep.equal([
      "a_total: no help text",
      "a_total: _total is for counters",
      "b_ms: its unit is abbreviated",
      "c: a counter without _total",
      "c: label Ab is not in snake_case",
    ]);
  });

  it("read the event loop's figures in one go", async () => {
    let readings = 0;
    const eventLoop = (): { p50: number; p90: number; p99: number; max: number } => {
      readings += 1;
      return { p50: readings, p90: readings, p99: readings, max: readings };
    };
    const metrics = metricsOfNothing({ eventLoop });
    for (const scrape of [1, 2]) {
      const { text } = await metrics.expose();
      const values = [...text.matchAll(/^nodejs_eventloop_lag_\w+_seconds (\S+)$/gm)];
      expect(values.map((match) => match[1])).to.deep.equal(Array(4).fill(String(scrape)));
    }
  });

  it("are served on a unix socket, with a health that stays and a readiness that follows", async () => {
    const folder = tempFolder();
    let engineReady = true;
    const server = await serveMetrics({
      address: `unix://${folder.path("metrics.sock")}`,
      metrics: metricsOfNothing(),
      health: () => ({ engineReady, reason: "frozen", synced: true, ageMs: 1 }),
      log: silentLogger,
    });
    try {
      const path = folder.path("metrics.sock");
      expect((await get(path, "/metrics")).text).to.include("dockline_build_info");
      expect((await get(path, "/readyz")).status).to.equal(200);
      engineReady = false;
      const ready = await get(path, "/readyz");
      expect(ready.status).to.equal(503);
      expect(JSON.parse(ready.text)).to.include({ engineReady: false, reason: "frozen" });
      expect((await get(path, "/healthz")).status).to.equal(200);
      expect((await get(path, "/secrets")).status).to.equal(404);
    } finally {
      await server.close();
      folder.remove();
    }
  });

  it("are refused an address that others could reach", async () => {
    for (const address of ["0.0.0.0:9100", ":9100", "nonsense"]) {
      const served = serveMetrics({
        address,
        metrics: metricsOfNothing(),
        health: () => ({ engineReady: true, reason: "", synced: true, ageMs: 0 }),
        log: silentLogger,
      });
      const outcome = await served.then(
        () => "served",
        (error: unknown) => (error as Error).message,
      );
      expect(outcome).to.match(/want 127\.0\.0\.1:port.*--metrics-client-ca/);
    }
  });
});
