import type { CdiContainerEdits } from "../convert/cdi-edits.ts";
import { Refusals } from "../convert/nri-refusal.ts";
import { CriError, errorText } from "../errors.ts";
import { Field } from "../gen/nri/v1alpha1/api_pb.js";
import type { ContainerAdjustment, FieldOwners } from "../gen/nri/v1alpha1/api_pb.js";
import { readCdiEdits } from "./cdi-devices.ts";

/**
 * What the node's CDI specifications say of the devices that plugins add, on every engine.
 *
 * @throws NotFound naming plugin and device, with what is wrong with the files
 */
export async function readAdjustmentDevices(
  adjust: Pick<ContainerAdjustment, "CDIDevices">,
  owners: FieldOwners | undefined,
  folders?: readonly string[],
): Promise<CdiContainerEdits[]> {
  const names = adjust.CDIDevices.map(({ name }) => name);
  const refusals = new Refusals(owners);
  try {
    return await readCdiEdits(names, folders);
  } catch (failure) {
    // One by one, so that the refusal names it.
    for (const key of names) {
      await readCdiEdits([key], folders).catch((error: unknown) => {
        if (!(error instanceof CriError)) throw error;
        const field = { name: "CDI_devices", field: Field.CdiDevices, key };
        throw refusals.of(field, "NotFound", errorText(error).replace(/^CDI_devices: /, ""));
      });
    }
    throw failure;
  }
}
