import { basename } from "node:path";
import { isEditingRuntime } from "../convert/runtime-handler.ts";
import { removeMember, setMember } from "./json-text.ts";

interface Runtime {
  path?: unknown;
  runtimeArgs?: unknown;
}

/**
 * What is known to call runc in the end, or to be as good: others might pass over an edit in
 * silence, and stay for the administrator to register.
 */
const FRONTED = ["runc", "crun", "nvidia-container-runtime"];
const PROGRAM = /^dockline-oci(?:-amd64|-arm64)?$/;

/**
 * daemon.json with dockline-oci as `dockline`, in front of runc, and as `dockline-<name>` in front
 * of each other runtime of the file that it is known to work with. What is there already stays.
 *
 * @throws Error when the file has a runtime of one of these names that is not dockline-oci
 */
export function withRuntimes(text: string, program: string, args: readonly string[]): string {
  const runtimes = runtimesOf(text);
  const wanted = new Map<string, { path: string; runtimeArgs?: string[] }>();
  const entry = (own: readonly string[]): { path: string; runtimeArgs?: string[] } => ({
    path: program,
    ...(own.length === 0 ? {} : { runtimeArgs: [...own] }),
  });
  wanted.set("dockline", entry(args));
  for (const [name, { path }] of runtimes) {
    if (typeof path !== "string" || isEditingRuntime(name)) continue;
    if (!FRONTED.includes(basename(path))) continue;
    const others = args.filter((argument) => !argument.startsWith("--real-runtime="));
    wanted.set(`dockline-${name}`, entry([`--real-runtime=${path}`, ...others]));
  }
  let changed = text;
  for (const [name, runtime] of wanted) {
    const found = runtimes.get(name);
    if (found !== undefined && !isOurs(found)) {
      throw new Error(`its runtime "${name}" is ${String(found.path)}, not dockline-oci`);
    }
    if (JSON.stringify(found) === JSON.stringify(runtime)) continue;
    changed = setMember(changed, ["runtimes", name], runtime);
  }
  return changed;
}

/** Without any of ours. */
export function withoutRuntimes(text: string): string {
  let changed = text;
  for (const name of editingRuntimesIn(text)) changed = removeMember(changed, ["runtimes", name]);
  return changed;
}

/** Without an empty "runtimes": dockerd keeps what it has when the file does not speak of them. */
export function withoutEmptyRuntimes(text: string): string {
  return runtimesOf(text).size > 0 ? text : removeMember(text, ["runtimes"]);
}

/** Names under which the file has dockline-oci. */
export function editingRuntimesIn(text: string): string[] {
  return [...runtimesOf(text)]
    .filter(([name, runtime]) => isEditingRuntime(name) && isOurs(runtime))
    .map(([name]) => name);
}

/** By the program's name, or by its arguments where it was given another. */
function isOurs({ path, runtimeArgs }: Runtime): boolean {
  return (
    (typeof path === "string" && PROGRAM.test(basename(path))) ||
    (Array.isArray(runtimeArgs) &&
      runtimeArgs.some((argument) => /^--(?:edits|real-runtime)=/.test(String(argument))))
  );
}

function runtimesOf(text: string): Map<string, Runtime> {
  const parsed: unknown = JSON.parse(text.replace(/^\uFEFF/, ""));
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) {
    throw new Error("it is not a JSON object");
  }
  const { runtimes } = parsed as { runtimes?: unknown };
  if (runtimes === undefined) return new Map();
  if (typeof runtimes !== "object" || runtimes === null || Array.isArray(runtimes)) {
    throw new Error('its "runtimes" is no object');
  }
  return new Map(Object.entries(runtimes as Record<string, Runtime>));
}
