// `version`: what runs here.

import { arch, platform } from "node:os";
import type { CommandModule } from "../command.ts";
import { EXIT } from "../exit-status.ts";
import { PROGRAM_VERSION } from "../version.ts";

export const versionCommand: CommandModule = {
  stopsWithReader: true,
  configure() {},

  run({ output }) {
    const runtime = `node ${process.versions.node}`;
    if (output.isJson) {
      output.json({
        message_type: "version",
        version: PROGRAM_VERSION,
        go_version: runtime,
        go_os: platform(),
        go_arch: arch(),
      });
    } else {
      output.data(
        `holdfast ${PROGRAM_VERSION} compiled with ${runtime} on ${platform()}/${arch()}`,
      );
    }
    return Promise.resolve(EXIT.ok);
  },
};
