import { fileURLToPath } from "node:url";

/** dockline-oci of this checkout. */
export const docklineOci = fileURLToPath(
  new URL(
    `../../deploy/oci/dockline-oci-${process.arch === "arm64" ? "arm64" : "amd64"}`,
    import.meta.url,
  ),
);
