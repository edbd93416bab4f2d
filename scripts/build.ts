import { join } from "node:path";
import { ownVersion, root, writeBundle } from "./bundle.ts";

/** `npm run build`: dist/dockline.mjs and the file of its threads. */
await writeBundle(join(root, "dist", "dockline.mjs"), ownVersion());
