import { request } from "node:http";
import { expect } from "chai";
import { silentLogger } from "../../../src/log.ts";
import { serveMetrics } from "../../../src/daemon/metrics-server.ts";
import { createMetrics } from "../../../src/metrics.ts";
import type { Metrics } from "../../../src/metrics.ts";
import { tempFolder } from "../../support/temp-folder.ts";

function metricsOfNothing(): Metrics {
  return createMetrics({
    build: () => ({ version: "1.2.3", node: "v24", engine: "29.0.0", api: "1.52" }),
    index: () => ({
      engineReady: true,
      synced: true,
      ageMs: 1500,
      containers: 7,
      inspectsInFlight: 0,
      inspectsStuck: 0,
      events: 12,
      inspects: 3,
      lists: 4,
      repairs: 1,
      resyncs: 2,
    }),
    pulls: () => ({
      count: 2,
      downloadedBytes: 99,
      totalBytes: 200,
      layersDone: 3,
      layersTotal: 8,
      oldestMs: 2500,
    }),
    tracing: () => ({ listeners: 1, dropped: 13, spansExported: 21, spansDropped: 34 }),
    logs: () => ({
      containers: 5,
      bytesBehind: 10,
      lostBytes: 1n,
      pumpedBytes: 1000n,
      unreadableLines: 0n,
    }),
    streams: () => 1,
    callsInFlight: () => 4,
    forks: () => 6,
  });
}

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
    const metrics = metricsOfNothing();
    metrics.onCall({
      rpc: "RunPodSandbox",
      code: "OK",
      durationMs: 40,
      steps: [
        { kind: "docker", name: "POST /containers/create", status: 201, durationMs: 9 },
        { kind: "cni", name: "bridge ADD", status: 0, durationMs: 20 },
        { kind: "cni", name: "portmap ADD", durationMs: 20_000 },
      ],
    });
    metrics.onRequest({
      method: "GET",
      route: "/containers/{id}/json",
      status: 404,
      durationMs: 2,
    });
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
      "dockline_log_written_bytes_total 1000",
    ]) {
      expect(text.split("\n")).to.include(line);
    }
    expect(text).to.match(/^nodejs_eventloop_lag_p99_seconds /m);
    // Read again, a counter is not counted twice.
    expect((await metrics.expose()).text).to.match(/^dockline_index_events_total 12$/m);
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
      expect(outcome).to.match(/want 127\.0\.0\.1:port/);
    }
  });
});
