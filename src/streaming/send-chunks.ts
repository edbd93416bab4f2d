/** Largest payload of a frame or message that we send: what one read of a socket gives. */
export const sendChunkBytes = 64 << 10;

/**
 * The bytes of all parts in order, as lists of pieces that make at most `sendChunkBytes` together,
 * as few as they fit in. Nothing is copied; without bytes there is no list.
 */
export function* sendChunks(parts: readonly Buffer[]): Generator<Buffer[]> {
  let pieces: Buffer[] = [];
  let room = sendChunkBytes;
  for (const part of parts) {
    for (let at = 0; at < part.length;) {
      const piece = part.subarray(at, at + room);
      pieces.push(piece);
      at += piece.length;
      room -= piece.length;
      if (room > 0) continue;
      yield pieces;
      pieces = [];
      room = sendChunkBytes;
    }
  }
  if (pieces.length > 0) yield pieces;
}
