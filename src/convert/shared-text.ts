/** Texts that are remembered; a node has fewer images and pods than this. */
const REMEMBERED = 8_192;

const texts = new Map<string, string>();

/**
 * The same text, as the one copy that all share. Each answer of the engine brings new copies of what
 * thousands of containers have in common: their image, the cgroup and network of their pod.
 */
export function sharedText(text: string): string {
  const known = texts.get(text);
  if (known !== undefined) return known;
  // Copies that were handed out stay; they are only no longer shared with later ones.
  if (texts.size >= REMEMBERED) texts.clear();
  texts.set(text, text);
  return text;
}
