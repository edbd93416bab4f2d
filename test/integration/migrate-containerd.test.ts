import { execFileSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { migrate } from "../../src/admin/migrate.ts";
import { createDockerEngine } from "../../src/engine/docker-engine.ts";
import type { DockerEngine } from "../../src/engine/docker-engine.ts";
import { silentLogger } from "../../src/log.ts";
import { startPrivateEngine } from "../support/private-engine.ts";
import type { PrivateEngine } from "../support/private-engine.ts";
import { busybox, ensureTestImages } from "../support/test-images.ts";

/** A node with everything that containerd does not know by itself. */
describe("dockline migrate --to containerd", function () {
  this.timeout(120_000);
  const folder = mkdtempSync(join(tmpdir(), "dockline-to-"));
  const path = (name: string): string => join(folder, name);
  let engine: PrivateEngine;
  let docker: DockerEngine;
  let output: string;

  before(async () => {
    engine = await startPrivateEngine([], {
      "registry-mirrors": ["https://hub-mirror.example/", "http://10.0.0.5:5000"],
      "insecure-registries": ["insecure.example:5000", "10.1.0.0/16"],
    });
    await engine.start();
    docker = createDockerEngine({ endpoint: `unix://${engine.socketPath}`, log: silentLogger });
    await ensureTestImages(docker);
    await docker.tagImage(busybox, "team/docker", "24-dind");
    mkdirSync(path("certs.d/ca.example:5000"), { recursive: true });
    for (const name of ["ca.crt", "client.cert", "client.key", "lone.cert"]) {
      writeFileSync(path(`certs.d/ca.example:5000/${name}`), `planted ${name}`);
    }
    const auths = { "ca.example:5000": { username: "planted", password: "canary-61" } };
    writeFileSync(path("auth.json"), JSON.stringify({ auths }));
    writeFileSync(
      path("flags"),
      'KUBELET_KUBEADM_ARGS="--container-runtime-endpoint=unix:///run/dockline/dockline.sock --containerd=/run/dockline/containerd.sock --v=2"\n',
    );
    await plantPod("agent", busybox, "/var/run/docker.sock");
    await plantPod("builder", "team/docker:24-dind", "/tmp");
    await plantPod("watcher", busybox, "/var/run");
    await plantPod("quiet", busybox, "/tmp");
  });
  after(async () => {
    docker.close();
    await engine.remove();
    rmSync(folder, { recursive: true });
  });
  beforeEach(() => {
    output = path(`out-${Math.random()}`);
  });

  const plantPod = async (name: string, image: string, mounted: string): Promise<void> => {
    const labels = {
      "io.kubernetes.pod.name": name,
      "io.kubernetes.pod.namespace": "planted",
      "io.kubernetes.pod.uid": `uid-${name}`,
    };
    const { id } = await docker.createContainer(`k8s_POD_${name}_planted_uid-${name}_0`, {
      Image: image,
      Labels: { ...labels, "io.kubernetes.docker.type": "podsandbox" },
      HostConfig: { NetworkMode: "none" },
    });
    // The engine wants a mount's source to be there; nothing is started.
    const source = existsSync(mounted) ? mounted : engine.socketPath;
    await docker.createContainer(`k8s_main_${name}_planted_uid-${name}_0`, {
      Image: image,
      Labels: {
        ...labels,
        "io.kubernetes.docker.type": "container",
        "io.kubernetes.container.name": "main",
        "io.kubernetes.sandbox.id": id,
      },
      HostConfig: {
        NetworkMode: "none",
        Mounts: [{ Type: "bind", Source: source, Target: "/mounted" }],
      },
    });
  };
  const plan = async (...more: string[]): Promise<{ code: number; text: string }> => {
    let text = "";
    const code = await migrate(
      [
        "--to=containerd",
        `--docker-endpoint=unix://${engine.socketPath}`,
        `--docker-certs-dir=${path("certs.d")}`,
        `--registry-auth-file=${path("auth.json")}`,
        `--registry-mirrors=quay.io=10.1.2.3:5000/quay`,
        `--kubelet-flags=${path("flags")}`,
        `--state-dir=${path("state")}`,
        ...more,
      ],
      (part) => (text += part),
    );
    return { code, text };
  };

  it("lists what is planted, and changes nothing", async () => {
    const before = readdirSync(folder).sort();
    const { code, text } = await plan();
    expect(code, text).to.equal(0);
    expect(text).to.match(/4 pods: all are recreated/);
    expect(text).to.match(/warn pod planted\/agent mounts \S*docker\.sock/);
    expect(text).to.match(/warn pod planted\/watcher mounts \/(var\/)?run, where docker\.sock is/);
    expect(text).to.match(
      /warn pod planted\/builder seems to build images \(team\/docker:24-dind\)/,
    );
    expect(text).to.not.match(/planted\/quiet (mounts|seems)/);
    // The containerd store gives a loaded image a digest like any other.
    const { DriverStatus } = await docker.info();
    if (!(DriverStatus ?? []).some(([key]) => key === "driver-type")) {
      expect(text).to.match(/no registry is known to have docker\.io\/team\/docker:24-dind/);
    }
    expect(text).to.match(
      /docker -H \S+ save docker\.io\/team\/docker:24-dind dockline\.test\/busybox:1 \| ctr -n k8s\.io images import -/,
    );
    expect(text).to.match(
      /certs\.d\/docker\.io\/hosts\.toml .*hub-mirror\.example, mirror 10\.0\.0\.5:5000/,
    );
    expect(text).to.match(/certs\.d\/insecure\.example:5000\/hosts\.toml .*insecure/);
    expect(text).to.match(/certs\.d\/quay\.io\/hosts\.toml .*10\.1\.2\.3:5000\/quay/);
    expect(text).to.match(/credentials: ca\.example:5000/);
    expect(text).to.match(/kubeadm\.alpha\.kubernetes\.io\/cri-socket=unix:\/\/\/run\/containerd/);
    expect(text).to.match(/logs: /);
    expect(text).to.match(/stats: /);
    expect(text).to.match(/remove what is left/);
    expect(text).to.not.include("canary");
    expect(readdirSync(folder).sort()).to.deep.equal(before);
    expect(await docker.listContainers([])).to.have.length(8);
  });

  it("writes containerd's files into an empty folder, and nothing else", async () => {
    const { code, text } = await plan("--apply", `--output=${output}`);
    expect(code, text).to.equal(0);
    const read = (name: string): string => readFileSync(join(output, name), "utf8");
    expect(readdirSync(output).sort()).to.deep.equal([
      "certs.d",
      "config.toml",
      "kubelet-flags",
      "move-images.sh",
    ]);
    expect(readdirSync(join(output, "certs.d")).sort()).to.deep.equal([
      "ca.example:5000",
      "docker.io",
      "insecure.example:5000",
      "quay.io",
    ]);
    const hub = read("certs.d/docker.io/hosts.toml");
    expect(hub).to.match(/host\."https:\/\/hub-mirror\.example"/);
    expect(hub).to.match(/host\."http:\/\/10\.0\.0\.5:5000"/);
    // Named by a range of addresses only.
    const quay = read("certs.d/quay.io/hosts.toml");
    expect(quay).to.match(
      /"https:\/\/10\.1\.2\.3:5000\/v2\/quay"\]\n.*\n {2}override_path = true\n {2}skip_verify/,
    );
    expect(read("certs.d/insecure.example:5000/hosts.toml")).to.include(
      'server = "http://insecure.example:5000"',
    );
    expect(read("certs.d/ca.example:5000/ca.crt")).to.equal("planted ca.crt");
    expect(readdirSync(join(output, "certs.d/ca.example:5000"))).to.not.include("lone.cert");
    expect(statSync(join(output, "certs.d/ca.example:5000/client.key")).mode & 0o777).to.equal(
      0o600,
    );
    expect(read("config.toml")).to.include('password = "canary-61"');
    expect(statSync(join(output, "config.toml")).mode & 0o777).to.equal(0o600);
    expect(statSync(output).mode & 0o777).to.equal(0o700);
    expect(read("kubelet-flags")).to.equal(
      'KUBELET_KUBEADM_ARGS="--container-runtime-endpoint=unix:///run/containerd/containerd.sock --v=2"\n',
    );
    expect(text).to.not.include("canary");
    expect(readFileSync(path("flags"), "utf8")).to.include("/run/dockline/dockline.sock");
    expect(await docker.listContainers([])).to.have.length(8);
  });

  it("moves images by lines that work", async () => {
    await plan("--apply", `--output=${output}`);
    const script = readFileSync(join(output, "move-images.sh"), "utf8");
    mkdirSync(path("bin"), { recursive: true });
    writeFileSync(
      path("bin/ctr"),
      `#!/bin/sh\n[ "$*" = "-n k8s.io images import -" ] && tar -tf - >>${path("moved")}\n`,
      { mode: 0o755 },
    );
    const environment = { ...process.env, PATH: `${path("bin")}:${process.env["PATH"] ?? ""}` };
    execFileSync(join(output, "move-images.sh"), { env: environment });
    const moved = readFileSync(path("moved"), "utf8").match(/^manifest\.json$/gm);
    expect(moved).to.have.length(script.match(/^docker /gm)?.length ?? -1);
  });

  it("refuses a folder with something in it", async () => {
    mkdirSync(output);
    writeFileSync(join(output, "config.toml"), "mine");
    const { code } = await plan("--apply", `--output=${output}`);
    expect(code).to.equal(1);
    expect(readdirSync(output)).to.deep.equal(["config.toml"]);
    expect(readFileSync(join(output, "config.toml"), "utf8")).to.equal("mine");
  });
});
