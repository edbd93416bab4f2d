import { connect, serviceClient } from "../cri/client.ts";
import { errorText } from "../errors.ts";
import { RuntimeService } from "../gen/runtime/v1/api_pb.js";

/** What a server says of itself, or why it says nothing. */
export interface ServerStatus {
  conditions: readonly { type: string; status: boolean; message: string }[];
  trouble?: string;
}

/** The CRI's Status, asked as the kubelet asks it. Never rejects. */
export async function serverStatus(endpoint: string, timeoutMs: number): Promise<ServerStatus> {
  const connection = connect(endpoint);
  try {
    const { status } = await serviceClient(connection, RuntimeService).status({}, { timeoutMs });
    return {
      conditions: (status?.conditions ?? []).map(({ type, status: met, message }) => ({
        type,
        status: met,
        message,
      })),
    };
  } catch (error) {
    return { conditions: [], trouble: errorText(error) };
  } finally {
    connection.close();
  }
}
