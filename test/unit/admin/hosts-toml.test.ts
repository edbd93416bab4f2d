import { expect } from "chai";
import { toContainerdConfig, toHostsToml } from "../../../src/admin/hosts-toml.ts";

const plain = { insecure: false, mirrors: [], ca: [], client: [] };

const of1 = 'plugins."io.containerd.grpc.v1.cri"';
const images = 'plugins."io.containerd.cri.v1.images"';

describe("containerd's registry files", () => {
  it("send docker.io to its mirrors first", () => {
    const toml = toHostsToml({
      ...plain,
      registry: "docker.io",
      mirrors: [
        { name: "mirror.example", insecure: false },
        { name: "10.0.0.1:5000", insecure: true },
      ],
    });
    expect(toml).to.equal(`server = "https://registry-1.docker.io"

[host."https://mirror.example"]
  capabilities = ["pull", "resolve"]

[host."https://10.0.0.1:5000"]
  capabilities = ["pull", "resolve"]
  skip_verify = true

[host."http://10.0.0.1:5000"]
  capabilities = ["pull", "resolve"]
`);
  });

  it("keep a mirror's own path", () => {
    const mirrors = [{ name: "mirror.example:5000/quay/io", insecure: false }];
    expect(toHostsToml({ ...plain, registry: "quay.io", mirrors })).to.equal(
      `server = "https://quay.io"

[host."https://mirror.example:5000/v2/quay/io"]
  capabilities = ["pull", "resolve"]
  override_path = true
`,
    );
  });

  it("name certificates where containerd will have them", () => {
    const toml = toHostsToml({
      ...plain,
      registry: "r.example:5000",
      ca: ["ca.crt"],
      client: [{ cert: "client.cert", key: "client.key" }],
    });
    const folder = "/etc/containerd/certs.d/r.example:5000";
    expect(toml).to.include('[host."https://r.example:5000"]');
    expect(toml).to.include(`  ca = ["${folder}/ca.crt"]\n`);
    expect(toml).to.include(`  client = [["${folder}/client.cert", "${folder}/client.key"]]\n`);
  });

  it("escape what a file's or user's name may hold", () => {
    const config = {
      sandboxImage: "registry.k8s.io/pause:3.10",
      systemdCgroup: true,
      runtimes: [{ handler: 'a"b', path: "/usr/bin/a b" }],
      credentials: [{ registry: "docker.io", username: "u", password: 'p"\\\n\u007f' }],
    };
    const toml = toContainerdConfig({ ...config, version: 2 });
    expect(toml).to.match(/^version = 2$/m);
    expect(toml).to.include('sandbox_image = "registry.k8s.io/pause:3.10"');
    expect(toml).to.include('registry.configs."registry-1.docker.io".auth]');
    expect(toml).to.include('  password = "p\\"\\\\\\n\\u007f"\n');
    expect(toml).to.include('runtimes."a\\"b".options]\n  SystemdCgroup = true\n  BinaryName');
    expect(toml).to.not.include("identitytoken");
    expect(toContainerdConfig({ ...config, version: 3 })).to.equal(
      toml
        .replace("version = 2", "version = 3")
        .replace(`[${of1}]\n  sandbox_image`, `[${images}.pinned_images]\n  sandbox`)
        .replaceAll(`[${of1}.registry`, `[${images}.registry`)
        .replaceAll(`[${of1}.containerd`, '[plugins."io.containerd.cri.v1.runtime".containerd'),
    );
  });
});
