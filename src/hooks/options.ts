import type { ValidatorOptions } from "../nri/adjust.ts";

/** The options of NRI; times in milliseconds. */
export interface NriOptions {
  readonly enableNri: boolean;
  readonly nriListen: string;
  readonly nriDisableConnections: boolean;
  readonly nriPluginDir: string;
  readonly nriPluginConfigDir: string;
  readonly nriPluginRegistrationTimeout: number;
  readonly nriPluginRequestTimeout: number;
  readonly nriEnableDefaultValidator: boolean;
  readonly nriValidatorRejectOciHookAdjustment: boolean;
  readonly nriValidatorRejectRuntimeDefaultSeccompAdjustment: boolean;
  readonly nriValidatorRejectUnconfinedSeccompAdjustment: boolean;
  readonly nriValidatorRejectCustomSeccompAdjustment: boolean;
  readonly nriValidatorRejectNamespaceAdjustment: boolean;
  readonly nriValidatorRejectSysctlAdjustment: boolean;
  readonly nriValidatorRequiredPlugins: readonly string[];
  readonly nriValidatorTolerateMissingPluginsAnnotation: string;
  readonly runDir: string;
}

export function validatorOptions(options: NriOptions): ValidatorOptions {
  return {
    enabled: options.nriEnableDefaultValidator,
    rejectOciHookAdjustment: options.nriValidatorRejectOciHookAdjustment,
    rejectRuntimeDefaultSeccompAdjustment:
      options.nriValidatorRejectRuntimeDefaultSeccompAdjustment,
    rejectUnconfinedSeccompAdjustment: options.nriValidatorRejectUnconfinedSeccompAdjustment,
    rejectCustomSeccompAdjustment: options.nriValidatorRejectCustomSeccompAdjustment,
    rejectNamespaceAdjustment: options.nriValidatorRejectNamespaceAdjustment,
    rejectSysctlAdjustment: options.nriValidatorRejectSysctlAdjustment,
    requiredPlugins: options.nriValidatorRequiredPlugins,
    tolerateMissingPluginsAnnotation: options.nriValidatorTolerateMissingPluginsAnnotation,
  };
}
