import { entry } from "./json-file-writer.ts";

/** `7`: a line at the seventh second; `7e` on stderr; `7x`: another text than Docker has there. */
export type Line = string;
export const timeOf = (line: Line): string =>
  `2026-01-02T03:04:${line.slice(0, 2).replace(/\D/, "").padStart(2, "0")}.5Z`;
export const streamOf = (line: Line): "stdout" | "stderr" =>
  line.includes("e") ? "stderr" : "stdout";
export const written = (lines: Line[]): string =>
  lines.map((line) => `${timeOf(line)} ${streamOf(line)} F ${line}\n`).join("");
export const docker = (lines: Line[]): Buffer =>
  Buffer.concat(
    lines.map((line) => entry(Buffer.from(line), { stream: streamOf(line), time: timeOf(line) })),
  );

/** Those of a text, which blanks part. */
export const words = (text: string): string[] => text.split(" ").filter((word) => word !== "");
