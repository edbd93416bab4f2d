import type { Readable } from "node:stream";
import { extract } from "tar-stream";
import type { Header } from "tar-stream";

export interface TarEntry extends AsyncIterable<Buffer> {
  readonly header: Header;
}

/**
 * The entries of a tar archive, one after the other: the next one comes when this one's content was
 * read to its end. Throws when the archive breaks off. The source is closed at the end.
 */
export async function* readTar(source: Readable): AsyncGenerator<TarEntry> {
  const parser = extract();
  const onError = (error: Error): void => {
    parser.destroy(error);
  };
  const onClose = (): void => {
    if (!source.readableEnded) parser.destroy(new Error("the archive broke off"));
  };
  // What comes after the end belongs to no file.
  parser.on("error", () => undefined);
  source.on("error", onError);
  source.on("close", onClose);
  source.pipe(parser);
  try {
    for await (const entry of parser) {
      yield entry as unknown as TarEntry;
    }
  } finally {
    source.destroy();
    parser.destroy();
  }
}

/** Reads to the end what nobody wants. */
export async function drain(content: AsyncIterable<unknown>): Promise<void> {
  const chunks = content[Symbol.asyncIterator]();
  while ((await chunks.next()).done !== true);
}
