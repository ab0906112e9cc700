// What the machine gives to whoever looks for a Kubernetes cluster: files, environment, and programs that give tokens.

import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { errnoOf, HoldfastError, messageOf } from "../base/errors.ts";
import type { ClusterIo } from "../operator/find-cluster.ts";
import { homeFolder } from "./home-folder.ts";

/** A program that gives a token and asks somebody in front of a screen would hang for ever. */
const RUN_MAX = 60_000;
const OUTPUT_MAX = 1024 * 1024;

/** Reads with `environment`; programs get it too. */
export function clusterIo(environment: Readonly<Record<string, string | undefined>>): ClusterIo {
  return {
    environment,
    home: environment["HOME"] || (homeFolder() ?? "/"),
    readText: async (path) => {
      try {
        return await readFile(path, "utf8");
      } catch (error) {
        if (errnoOf(error) === "ENOENT") return undefined;
        throw new HoldfastError("USAGE", `cannot read ${path}: ${messageOf(error)}`, {
          hint: "Make it a file that we may read, or name another one.",
          cause: error,
        });
      }
    },
    run: (program, { arguments: list, variables, signal }) =>
      new Promise((resolve, reject) => {
        const child = execFile(
          program,
          [...list],
          {
            env: { ...environment, ...variables },
            timeout: RUN_MAX,
            maxBuffer: OUTPUT_MAX,
            ...(signal ? { signal } : {}),
          },
          (error, stdout, stderr) => {
            if (error === null) return resolve({ code: 0, stdout, stderr });
            if (typeof error.code === "number") resolve({ code: error.code, stdout, stderr });
            else reject(error);
          },
        );
        child.stdin?.end();
      }),
  };
}
