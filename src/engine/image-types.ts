/** The part of the Docker Engine API's JSON that is about images and registries; see types.ts for the rest. */

/** One entry of GET /images/json. */
export interface ImageSummary {
  Id: string;
  RepoTags: string[] | null;
  RepoDigests: string[] | null;
  Created: number;
  Size: number;
  Labels: Record<string, string> | null;
}

/** GET /images/{ref}/json. */
export interface ImageInspect {
  Id: string;
  RepoTags?: string[] | null;
  RepoDigests?: string[] | null;
  Created?: string;
  Size: number;
  Architecture?: string;
  Os?: string;
  Config?: {
    User?: string;
    Env?: string[] | null;
    Cmd?: string[] | null;
    Entrypoint?: string[] | null;
    WorkingDir?: string;
    Labels?: Record<string, string> | null;
    Volumes?: Record<string, object> | null;
    StopSignal?: string;
    ExposedPorts?: Record<string, object> | null;
  } | null;
  GraphDriver?: { Name: string; Data: Record<string, string> | null } | null;
  RootFS?: { Type: string; Layers?: string[] | null };
  /** API 1.53: how the image came here, per manifest; only its presence and `Build` are read. */
  Identity?: { Build?: unknown[]; Pull?: unknown[]; Signature?: unknown[] } | null;
}

/** One line of the pull's progress stream. */
export interface PullProgress {
  status?: string;
  id?: string;
  progressDetail?: { current?: number; total?: number };
  error?: string;
  errorDetail?: { code?: number; message: string };
}

/** Docker's X-Registry-Auth, before encoding. */
export interface RegistryAuth {
  username?: string;
  password?: string;
  identitytoken?: string;
  registrytoken?: string;
  serveraddress?: string;
}
