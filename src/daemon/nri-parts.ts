import type { Config } from "../config/options.ts";
import { NriGate, type GateDeps } from "../hooks/gate.ts";
import type { DockerEngine } from "../engine/docker-engine.ts";
import type { SavedDeps } from "../hooks/saved.ts";
import type { Logger } from "../log.ts";
import { NriAdjustments } from "../state/nri-adjustments.ts";
import { version } from "../version.ts";

/** Who hears of what happens to pods and containers. */
export interface NriParts {
  hooks: NriGate;
  adjustments: NriAdjustments;
}

export async function buildNri(
  config: Config,
  deps: Omit<GateDeps, "adjustments" | "version" | "carrying">,
  carrying: () => Omit<SavedDeps, "adjustments">,
  log: Logger,
): Promise<NriParts> {
  const adjustments = await NriAdjustments.open(config.stateDir, log);
  return {
    adjustments,
    hooks: new NriGate(config, {
      ...deps,
      adjustments,
      version,
      carrying: () => ({ ...carrying(), adjustments }),
    }),
  };
}

/** The engine, whose execs get the variables that plugins gave the container: Docker does not know of them. */
export function execEngine<E extends Pick<DockerEngine, "createExec">>(
  engine: E,
  hooks: Pick<NriGate, "execEnvironment">,
): E {
  // With the engine's other members as they are, those that are computed too.
  const own = Object.create(engine) as E;
  own.createExec = (id, body, options) => {
    const more = hooks.execEnvironment(id);
    const Env = [...(body.Env ?? []), ...more];
    return engine.createExec(id, more.length === 0 ? body : { ...body, Env }, options);
  };
  return own;
}
