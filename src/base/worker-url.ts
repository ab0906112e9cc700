// Where a worker's module is: beside the module that starts it, as TypeScript in a checkout and as JavaScript in a
// package. The compiler does not rewrite the URL of a worker, so the ending is taken from the caller's own.

/** URL of the module `name` in the folder of the module whose `import.meta.url` is `caller`, with its ending. */
export function workerUrl(name: string, caller: string): URL {
  const ending = caller.endsWith(".ts") ? ".ts" : ".js";
  return new URL(`./${name}${ending}`, caller);
}
