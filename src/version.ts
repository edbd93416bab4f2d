declare const DOCKLINE_VERSION: string | undefined;

/** The one version string: logs, `--version`, metrics and packages show the same. */
export const version: string =
  // Put in place by the bundler; a checkout is told apart by its suffix.
  typeof DOCKLINE_VERSION === "string" ? DOCKLINE_VERSION : "0.1.0-dev";
