import { status as GrpcCode } from "@grpc/grpc-js";
import type { ServiceError } from "@grpc/grpc-js";

const names = new Map(Object.entries(GrpcCode).map(([name, code]) => [code, name]));

/** Name of the code and text with which a call fails; throws when it succeeds. */
export async function rpcFailure(
  work: Promise<unknown>,
): Promise<{ code: string; details: string }> {
  const error = await work.then(
    () => {
      throw new Error("the call succeeded");
    },
    (reason: unknown) => reason as ServiceError,
  );
  return { code: names.get(error.code) ?? String(error), details: error.details };
}
