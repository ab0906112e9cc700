// Where a worker's module is: beside this file, as TypeScript in a checkout and as JavaScript in a package. The
// compiler does not rewrite the URL of a worker, so the ending is taken from our own.

/** URL of `src/files/<name>` with the ending that runs here. */
export function workerUrl(name: string): URL {
  const ending = import.meta.url.endsWith(".ts") ? ".ts" : ".js";
  return new URL(`./${name}${ending}`, import.meta.url);
}
