// `plan schema`: the JSON Schema of plans, which editors check and complete with.

import { planJsonSchema } from "../../plan/plan-schema.ts";
import type { CommandModule } from "../command.ts";
import { EXIT } from "../exit-status.ts";

export const planSchemaCommand: CommandModule = {
  stopsWithReader: true,

  configure(command) {
    command.addHelpText(
      "after",
      `
Examples:
  holdfast plan schema > plan.schema.json
  echo '# yaml-language-server: $schema=plan.schema.json' | cat - plan.yaml`,
    );
  },

  run({ output }) {
    if (output.isJson) output.json(planJsonSchema());
    else output.data(JSON.stringify(planJsonSchema(), null, 2));
    return Promise.resolve(EXIT.ok);
  },
};
