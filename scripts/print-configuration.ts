import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { optionsReference } from "../src/config/reference.ts";

/** Writes docs/configuration.md from the option table. */
const text = `# Configuration

Every option can be given as a flag (\`--docker-endpoint VALUE\`), as an environment variable (\`DOCKLINE_DOCKER_ENDPOINT\`) or in
a YAML or JSON file (\`dockerEndpoint: VALUE\`). Flags win over the environment, the environment over the file.
The file is the one that \`--config\` names, else \`/etc/dockline/config.yaml\` where that exists; \`--config=\` means none.
Unknown keys and flags are errors that name the nearest known one. \`dockline config\` prints what is in force and from where.

Durations are written as \`90s\`, \`1m30s\` or \`500ms\`; lists with commas (in the file also as a list).

## Options

${optionsReference()}

## Files

| Path | What it is |
|---|---|
| \`/run/dockline/dockline.sock\` | the CRI socket, 0660 root |
| \`<run-dir>/trace.sock\` | what \`dockline trace\` reads, 0600 root; something is written only while somebody listens |
| \`<state-dir>/sandboxes/\` | one record for each pod sandbox: what Docker cannot hold (CNI result, phase); checksummed, 0600 |
| \`<state-dir>/logs/\` | how far each container's log was read and written |
| \`<state-dir>/resources/\` | resources as last resized, for containers that were |
| \`<state-dir>/image-volumes/\` | read-only copies of images that pods mount, on engines below API 1.48; each goes with its last container |
| \`<state-dir>/lock\` | pid and start time of the running instance |
| \`<log_directory>/<log_path>\` | container logs in CRI format, 0640 root; folders and rotation are the kubelet's |

## Container logs

With \`--container-log-format=cri\` (default) Docker writes its json-file, limited by \`--container-log-max-size\` and
\`--container-log-max-files\`, and Dockline writes the CRI file from it. Docker's file is the buffer while Dockline is down: what was
rotated away unread becomes one line in the log that says how much is missing. Sizes far below 1m are outrun by any fast writer.
With \`docker-json\` the log path is a symlink to Docker's file, as dockershim made it. Pods that were taken over keep that form.
The daemon's own log driver does not matter for pod containers.
`;

writeFileSync(join(import.meta.dirname, "..", "docs", "configuration.md"), text);
