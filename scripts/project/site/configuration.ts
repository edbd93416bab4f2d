import { contents, sitePath } from "./contents.ts";
import { anchorOf } from "./links.ts";
import { titleOf } from "./pages.ts";

/** The generator's configuration as a module; a dead link fails its build. */
export function configuration(base: string): string {
  const sidebar = contents.map(({ title, pages }) => ({
    text: title,
    items: pages.map((page) => ({
      text: titleOf(page),
      link: `/${sitePath(page).replace(/(?:index)?\.md$/, "")}`,
    })),
  }));
  const config = {
    title: "Dockline",
    description: "A CRI runtime for Kubernetes nodes that run Docker Engine",
    base,
    cleanUrls: false,
    themeConfig: { sidebar, search: { provider: "local" }, outline: [2, 3] },
  };
  return `const anchorOf = ${anchorOf.toString()};
const escape = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
export default {
  ...${JSON.stringify(config, undefined, 2)},
  markdown: {
    // Anchors as forges make them, since pages link to each other by those.
    anchor: { slugify: anchorOf },
    config(md) {
      const fence = md.renderer.rules.fence;
      md.renderer.rules.fence = (tokens, at, ...rest) =>
        tokens[at].info === "mermaid"
          ? \`<pre class="mermaid" v-pre>\${escape(tokens[at].content)}</pre>\`
          : fence(tokens, at, ...rest);
      // Templates of other programs ({{…}}) are no templates of the site.
      md.renderer.rules.code_inline = (tokens, at) =>
        \`<code v-pre>\${escape(tokens[at].content)}</code>\`;
    },
  },
};
`;
}

/** The default theme, and diagrams drawn once a page that has one is shown. */
export const theme = `import Theme from "vitepress/theme";
import { nextTick, onMounted, watch } from "vue";
import { useRoute, withBase } from "vitepress";

let loading;
const load = () =>
  (loading ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = withBase("/mermaid.js");
    script.onload = () => {
      const dark = document.documentElement.classList.contains("dark");
      const deterministicIds = true;
      const theme = dark ? "dark" : "default";
      window.mermaid.initialize({ startOnLoad: false, deterministicIds, theme });
      resolve(window.mermaid);
    };
    script.onerror = reject;
    document.head.append(script);
  }));

// One after the other: two that run at once would draw into each other.
let drawn = Promise.resolve();
const draw = () => {
  drawn = drawn.then(async () => {
    await nextTick();
    const nodes = document.querySelectorAll("pre.mermaid:not([data-processed])");
    if (nodes.length > 0) await (await load()).run({ nodes });
  });
};

export default {
  extends: Theme,
  setup() {
    const route = useRoute();
    onMounted(draw);
    watch(() => route.path, draw);
  },
};
`;
