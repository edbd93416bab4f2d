import { LineCounter, isMap, isNode, isScalar, isSeq, parseAllDocuments } from "yaml";
import type { Document, ScalarTag } from "yaml";
import { nearest } from "../../config/nearest.ts";
import { Configs } from "./configs.ts";
import { Fields, pathText } from "./fields.ts";
import type { PathPart, Remark, Report } from "./fields.ts";
import { passedOverKinds } from "./other-keys.ts";
import type { PlannedPod } from "./plan.ts";
import { defaultFolders, readPod } from "./pod.ts";
import type { PlayFolders } from "./pod.ts";
import { apiVersions, readWorkload, workloadKinds } from "./workload.ts";

/** A manifest that asks for what `play` cannot do; a line for each problem, which names its field. */
export class ManifestError extends Error {
  override readonly name = "ManifestError";
}

export interface ManifestFile {
  /** As it is called in problems. */
  name: string;
  text: string;
}

export interface Manifest {
  pods: PlannedPod[];
  /** A line for each field or document that was understood and has no effect. */
  passedOver: string[];
}

/** 0644, which Kubernetes' YAML takes for octal and YAML 1.2 for decimal. */
const octal: ScalarTag = {
  tag: "tag:yaml.org,2002:int",
  default: true,
  identify: () => false,
  test: /^0[0-7]+$/,
  resolve: (text: string) => Number.parseInt(text, 8),
};

/** One object of a document, which may be a List of several. */
interface Found {
  root: Fields;
  report: Report;
  say: (remark: Remark) => { line: number; text: string };
}

/**
 * Reads Pods, Deployments, DaemonSets, Jobs, ConfigMaps and Secrets. Everything in them is done,
 * or named as passed over, or refused.
 *
 * @throws ManifestError with all problems, a line each
 */
export function readManifest(
  files: readonly ManifestFile[],
  places: PlayFolders = defaultFolders,
): Manifest {
  const objects = files.flatMap(objectsOf);
  const configs = new Configs();
  // They may be anywhere in the files.
  for (const { root } of objects) {
    const kind = root.raw("kind");
    if (kind === "ConfigMap" || kind === "Secret") configs.add(kind, root);
  }
  const pods: PlannedPod[] = [];
  for (const { root } of objects) {
    const kind = kindOf(root);
    if (kind === undefined) continue;
    const source = readWorkload(kind, root);
    const pod = readPod(source, configs, places);
    if (pods.some(({ uid }) => uid === pod.uid)) {
      root.problem("metadata", `pod ${pod.namespace}/${pod.name} is there twice`);
    }
    pods.push(pod);
  }
  const said = (pick: (report: Report) => Remark[]): string[] =>
    objects.flatMap(({ report, say }) =>
      pick(report)
        .map(say)
        .sort((a, b) => a.line - b.line)
        .map(({ text }) => text),
    );
  const problems = said((report) => report.problems);
  if (problems.length === 0 && pods.length === 0) {
    problems.push(`no ${list(workloadKinds)} in ${files.map(({ name }) => name).join(", ")}`);
  }
  if (problems.length > 0) throw new ManifestError(problems.join("\n"));
  return { pods, passedOver: said((report) => report.passedOver) };
}

/** The kind of a workload; undefined for a config, and for what is passed over or refused. */
function kindOf(root: Fields): (typeof workloadKinds)[number] | undefined {
  const kind = root.text("kind");
  const apiVersion = root.text("apiVersion");
  if (kind === "ConfigMap" || kind === "Secret") return undefined;
  const found = workloadKinds.find((known) => known === kind);
  if (found !== undefined) {
    const wanted = apiVersions[found];
    if (apiVersion === wanted) return found;
    root.problem("apiVersion", `found ${JSON.stringify(apiVersion)}; of a ${kind} it is ${wanted}`);
  } else if (passedOverKinds.has(kind)) {
    root.passOver("kind", `a ${kind} says nothing to one node`);
  } else {
    const known = [...workloadKinds, "ConfigMap", "Secret"];
    const hint = nearest(kind, [...known, ...passedOverKinds], "");
    root.problem(
      "kind",
      kind === "" ? "is missing" : `${kind} is not one of ${list(known, "and")}${hint}`,
    );
  }
  return undefined;
}

function objectsOf({ name, text }: ManifestFile): Found[] {
  const lines = new LineCounter();
  const documents = parseAllDocuments(text, {
    lineCounter: lines,
    merge: true,
    customTags: (tags) => [octal, ...tags],
  });
  return [...documents].flatMap((document): Found[] => {
    const [broken] = document.errors;
    if (broken !== undefined) {
      // The first line of the message ends with the place, which is in front already.
      const why = (broken.message.split("\n")[0] ?? "").replace(/ at line \d+, column \d+:?$/, "");
      throw new ManifestError(`${name}:${broken.linePos?.[0].line ?? 1}: ${why}`);
    }
    if (document.contents === null) return [];
    const say = ({ path, text: what }: Remark): { line: number; text: string } => {
      const line = lineOf(document, path, lines);
      const where = path.length === 0 ? "" : `${pathText(path)}: `;
      return { line, text: `${name}:${line}: ${where}${what}` };
    };
    const report: Report = { problems: [], passedOver: [] };
    const root = new Fields(document.toJS() as unknown, [], report);
    const found = { root, report, say };
    if (root.raw("kind") !== "List") return [found];
    // Their remarks come with the list's own.
    return [...root.list("items").map((item) => ({ ...found, root: item }))].map((item, at) =>
      at === 0 ? item : { ...item, report: { problems: [], passedOver: [] } },
    );
  });
}

/** Line of a field, counted from 1, or of the nearest that is there. */
function lineOf(document: Document, path: readonly PathPart[], lines: LineCounter): number {
  let node: unknown = document.contents;
  let offset = (isNode(node) ? node.range?.[0] : undefined) ?? 0;
  for (const part of path) {
    if (isMap(node)) {
      const pair = node.items.find(({ key }) => isScalar(key) && key.value === part);
      if (pair === undefined) break;
      if (isNode(pair.key)) offset = pair.key.range?.[0] ?? offset;
      node = pair.value;
    } else if (isSeq(node) && typeof part === "number") {
      node = node.items[part];
      if (isNode(node)) offset = node.range?.[0] ?? offset;
    } else break;
  }
  return lines.linePos(offset).line;
}

const list = (words: readonly string[], last = "or"): string =>
  `${words.slice(0, -1).join(", ")} ${last} ${words.at(-1) ?? ""}`;
