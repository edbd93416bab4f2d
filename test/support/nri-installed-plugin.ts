import { appendFileSync } from "node:fs";
import { Socket } from "node:net";
import { TestPlugin } from "./nri-plugin.ts";

// A pre-installed plugin: notes in the file of its arguments what it hears.
const file = process.argv[2] ?? "";
const { NRI_PLUGIN_NAME: name, NRI_PLUGIN_IDX: index, NRI_PLUGIN_SOCKET: fd } = process.env;
appendFileSync(file, `started ${index} ${name} ${Object.keys(process.env).sort().join()}\n`);
const plugin = new TestPlugin({
  socket: new Socket({ fd: Number(fd) }),
  onEvent: ({ event }) => appendFileSync(file, `${event}\n`),
});
await plugin.join();
appendFileSync(file, `configured ${plugin.configured?.config}\n`);
await plugin.ended;
